"""Everything but leukaemia and laboratory: performance, heart, infections, transplants, allergies."""

from __future__ import annotations

import numpy as np

from feasibility.cohort.windows import months_since
from feasibility.trials.aml_events import NO_DATE, Rows, Source
from feasibility.trials.aml_events_drugs import order

ROMAN = np.array(["", "I", "II", "III", "IV"], dtype=object)


def write(s: Source, rows: Rows) -> None:
    for step in (_performance, _heart, _echo, _infections, _viruses, _transplants, _reproduction,
                 _allergies, _transfusions, _flow):  # fmt: skip
        step(s, rows)


def _performance(s: Source, rows: Rows) -> None:
    who, date = ~s.hole("ecog"), s.ago(s.days("ecog"))
    score = s["ecog"].astype(int).astype(str).astype(object)
    # "0-1" reads as its maximum; a Karnofsky score maps to one ECOG grade.
    ranged = (s["ecog"] > 0) & s.happens("ECOG range", 0.1 * s.problems.text_scores)
    score[ranged] = np.array(["", "0-1", "1-2", "2-3", "3-4"], dtype=object)[s["ecog"][ranged]]
    kps = ~ranged & s.happens("KPS", 0.2 * s.problems.text_scores)
    scale = np.where(kps, "KPS", "ECOG").astype(object)
    score = np.where(kps, np.array(["100", "80", "60", "50", "30"], dtype=object)[s["ecog"]], score)
    rows.add("performance", who, date=date, scale=scale, score=score)
    # The age of an NYHA class is known in months: any day of that many months gives it back.
    days = np.arange(0, 400)
    ages = months_since(s.index_date - days, s.index_date)
    months = s.truth("months_since_nyha_class")
    date = s.ago(days[np.searchsorted(ages, np.nan_to_num(months) - 1e-9).clip(0, 399)])
    asked = ~(s.hole("nyha_without_heart_failure") | s.hole("nyha_with_heart_failure"))
    roman = s.happens("NYHA in Roman numerals", s.problems.text_scores)

    def words(values):
        return np.where(roman, ROMAN[values.astype(int)], values.astype(int).astype(str)).astype(object)

    rows.add("performance", asked, date=date, scale="NYHA", score=words(s["nyha"]))
    rows.add("performance", asked & (s["nyha_worst"] > s["nyha"]), date=date - s.whole("worse NYHA", 30, 400),
             scale="NYHA", score=words(s["nyha_worst"]))  # fmt: skip


def _diagnosis(s: Source, rows: Rows, who, days, code, text, column: str = "", *, table: str = "diagnoses") -> None:
    """A coded event; of some the day is not known, and the ledger says between what its age lies."""
    date = s.ago(days)
    rough = who & s.happens(f"month only {column}", s.problems.month_dates if column else 0.0)
    more = {"dx_date": date, "type": "secondary", "dx_status": "confirmed"} if table == "diagnoses" else {"date": date}
    rows.add(table, who, code=code, text=text, month_only=rough, **more)
    if column:
        month = date.astype("M8[M]")
        last = np.minimum((month + 1).astype("M8[D]") - 1, s.index_date)
        rows.count("month_dates", rough)
        rows.note(rough, column, "month_dates", "bounds", "known to the month", months_since(last, s.index_date),
                  months_since(month.astype("M8[D]"), s.index_date))  # fmt: skip


def _heart(s: Source, rows: Rows) -> None:
    def some(name, *options):
        return s.pick(f"code {name}", options)

    long_ago = s.whole("day of comorbidity", 100, 3000)
    _diagnosis(
        s, rows, s["heart_failure"], long_ago, some("heart failure", "I50.9", "I50.900", "I509", "I11.0"), "心力衰竭"
    )
    _diagnosis(s, rows, np.isfinite(s["mi_days"]), s["mi_days"], some("mi", "I21.9", "I21.900", "I21.4", "I219"),
               "acute myocardial infarction", "months_since_mi")  # fmt: skip
    _diagnosis(s, rows, np.isfinite(s["cabg_days"]), s["cabg_days"], some("cabg", "36.10", "36.11", "36.15"),
               "冠状动脉搭桥术", "months_since_cabg", table="procedures")  # fmt: skip
    _diagnosis(s, rows, np.isfinite(s["arrhythmia_days"]), s["arrhythmia_days"], some("arrhythmia", "I47.2", "I49.0"),
               "sustained", "months_since_ventricular_arrhythmia")  # fmt: skip
    _diagnosis(s, rows, np.isfinite(s["syncope_days"]), s["syncope_days"], "R55", "syncope, cause: unexplained",
               "months_since_unexplained_syncope")  # fmt: skip
    told = ~s.hole("cardiomyopathy_severity")
    severe = np.where(s["cardiomyopathy_severe"], "severe", "mild").astype(object)
    text = np.where(told, "cardiomyopathy, " + severe, "cardiomyopathy").astype(object)
    _diagnosis(s, rows, s["cardiomyopathy"], long_ago, some("myopathy", "I42.0", "I42.7", "I42.9"), text)
    _diagnosis(s, rows, s["gilbert"], long_ago, "E80.4", "Gilbert 综合征")
    # What looks like an event and is none: an old infarction, single ectopic beats, a faint that is explained.
    for code, text in (("I25.2", "old myocardial infarction"), ("I49.3", "ventricular premature beats"),
                       ("I25.5", "ischaemic cardiomyopathy"), ("R55", "syncope, cause: orthostatic")):  # fmt: skip
        decoy = s.happens(f"decoy {code}", s.problems.decoys) & ~np.isfinite(s["syncope_days"])
        rows.count("decoys", decoy)
        _diagnosis(s, rows, decoy, long_ago, code, text)


def _echo(s: Source, rows: Rows) -> None:
    shown, age = ~s.hole("lvef"), s.days("lvef_latest_pct")
    lowest, lower, latest = s["lvef_lowest"], s["lvef"], s["lvef_latest"]
    two = shown & (lower < latest)
    # Two measurements need two days in the window.
    crowded = two & (age >= 56)
    for column in ("lvef_min_pct", "lvef_latest_pct"):
        rows.note(crowded, column, "not expressible", "unknown", "two measurements on the first day of the window")
    shown = shown & ~crowded
    method = s.pick("method of echo", ["echocardiography", "超声心动图", "MUGA", "CMR"])
    rows.add("echo", shown, date=s.ago(age), lvef=latest, method=method)
    earlier = np.minimum(age + 1 + np.floor(s.uniform("earlier echo") * (56 - age)), 56)
    rows.add("echo", two & ~crowded, date=s.ago(earlier), lvef=lower, method=method)
    rows.add("echo", ~shown | (lowest < lower), date=s.ago(s.whole("lowest echo", 57, 900)), lvef=lowest, method=method)


def _infections(s: Source, rows: Rows) -> None:
    active = s["active_infection"]
    severity = np.where(active, np.where(s["infection_severe"] == 1, "severe", "mild"), "").astype(object)
    controlled = np.where(active, s["infection_controlled"] == 1, np.nan)
    rows.add("infections", ~s.hole("infection"), date=s.ago(s.days("active_infection")), active=active.astype(float),
             severity=severity, controlled=controlled)  # fmt: skip


def _viruses(s: Source, rows: Rows) -> None:
    """Diagnoses of carriers; whether the infection is under control is said in words only."""
    screened, days = ~s.hole("serology"), s.whole("day of viral diagnosis", 200, 3000)
    control = np.where(s["viral_controlled"] == 1, ", controlled", ", not controlled").astype(object)
    _diagnosis(s, rows, np.isfinite(s["hav_days"]), s["hav_days"], "B15.9", "acute hepatitis A",
               "months_since_hepatitis_a")  # fmt: skip
    _diagnosis(s, rows, s["hbsag"] & screened, days, "B18.1", "chronic hepatitis B" + control)
    _diagnosis(s, rows, s["anti_hcv"] & screened, days, "B18.2", "chronic hepatitis C" + control)
    _diagnosis(s, rows, s["hiv"] & ~s["aids"] & screened, days, "Z21", "HIV infection" + control)
    _diagnosis(s, rows, s["aids"], days, s.pick("code of AIDS", ["B20", "B24", "B22.7"]), "AIDS")


def _transplants(s: Source, rows: Rows) -> None:
    hsct, allo = s["hsct"], s["allogeneic"]
    date, last = s["hsct_date"], s["days_since_immunosuppressant"]
    told = allo & ~s.hole("immunosuppressant_stop")
    stopped, ongoing = s.ago(last), told & (last == 0)
    # A day of stopping that only the orders tell.
    by_orders = told & s.happens("stop only in the orders", 0.2)
    ordered = told & (by_orders | s.happens("orders of immunosuppressant", 0.4))
    says = np.where(told & ~ongoing & ~by_orders, stopped, NO_DATE)
    assessed = allo & ~s.hole("gvhd")
    active, significant, ever = s["gvhd_active"], s["gvhd_significant"], s["gvhd_ever"]
    status = np.where(active, "active", np.where(ever, "resolved", "none")).astype(object)
    acute = s.happens("acute GVHD", 0.5)
    agvhd = np.where(ever & acute, np.where(significant, "III", "I"), "none").astype(object)
    cgvhd = np.where(ever & ~acute, np.where(significant, "moderate", "mild"), "none").astype(object)

    def shown(words):
        return np.where(assessed, words, "").astype(object)

    rows.add(
        "transplants", hsct, date=date, type=np.where(allo, "allogeneic", "autologous").astype(object),
        donor=np.where(allo, s.pick("donor", ["sibling", "haploidentical", "unrelated"]), "self").astype(object),
        conditioning=s.pick("conditioning", ["Bu/Cy", "Flu/Bu", "TBI/Cy"]), is_stop_date=says,
        is_ongoing=ongoing & ~by_orders, agvhd_max=shown(agvhd), cgvhd=shown(cgvhd), gvhd_status=shown(status),
        gvhd_date=np.where(assessed, s.ago(s.days("gvhd_active")), NO_DATE),
    )  # fmt: skip
    code = np.where(allo, s.pick("code of allogeneic", ["41.05", "41.08"]), "41.04").astype(object)
    rows.add("procedures", hsct, date=date, code=code, text="造血干细胞移植")
    stop = np.where(ongoing, s.index_date + 30, stopped)
    order(s, rows, ordered, "tacrolimus", date, stop, 1.0, "bid", "GVHD prophylaxis", ("L04AD02", "42316"))


def _reproduction(s: Source, rows: Rows) -> None:
    female, age = ~s["male"], s["age_years"]
    girl = female & (age < 15)
    told = female & ~girl
    status = told & ~s.hole("childbearing")
    past = told & ~s["childbearing"]
    sterilised = past & s.happens("sterilised", 0.1)
    flags = [np.where(status, v, np.nan) for v in (past & ~sterilised, sterilised)]
    rows.add("repro", told, date=s.ago(s.whole("day of repro", 0, 180)), menopause=flags[0], sterilised=flags[1],
             lactating=s["lactating"].astype(float))  # fmt: skip
    rows.note(past & ~status, "pregnant", "not expressible", "may_be_unknown", "neither status nor test is recorded")
    for column in ("childbearing_potential", "pregnant", "lactating"):
        rows.note(girl, column, "not expressible", "may_be_unknown", "before the menarche: the layout has no word")


def _allergies(s: Source, rows: Rows) -> None:
    listed, severe = ~s.hole("allergy"), s["severe_allergy"]
    of_class = ~severe & s["severe_allergy_of_class"]
    date = s.ago(s.whole("day of allergy", 10, 2000))
    rows.add("allergies", listed & severe, date=date, severity="severe", status="active",
             agent=s.pick("agent", ["fludarabine", "cyclophosphamide", "异丙嗪", "acetaminophen"]))  # fmt: skip
    rows.add("allergies", listed & of_class, date=date, severity="severe", status="active",
             agent=s.pick("agent of class", ["chlorpromazine", "cladribine", "melphalan"]))  # fmt: skip
    none = listed & ~severe & ~of_class
    mild = none & s.happens("mild allergy", 0.15)
    rows.add("allergies", mild, date=date, severity="mild", status="active", agent="青霉素")
    rows.add("allergies", none & ~mild, date=date, agent="", severity="",
             status=s.pick("reviewed", ["NKDA", "reviewed"]))  # fmt: skip


def _transfusions(s: Source, rows: Rows) -> None:
    for fact, products in (("since_rbc", ["red cells", "悬浮红细胞"]), ("since_plt", ["platelets", "单采血小板"])):
        rows.add("transfusions", np.isfinite(s[fact]), date=s.ago(s[fact]), product=s.pick(fact, products))


def _flow(s: Source, rows: Rows) -> None:
    """Other antigens than the trial's, which nobody tests outside it."""
    who = s.happens("flow", 0.3)
    rows.add("flow", who, date=s["diagnosis_date"], antigen="CD33", specimen="bone marrow",
             pct=s.whole("CD33", 5, 99).astype(float))  # fmt: skip
