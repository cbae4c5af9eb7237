"""Laboratory results of the synthetic registry: panels on one day, units and names as laboratories write them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_events import NO_DATE, Rows, Source

MG_DL = 88.42
"""Micromoles per litre of creatinine in one mg/dL."""
POSITIVE, NEGATIVE = ("positive", "阳性", "阳性(+)", "+"), ("negative", "阴性", "阴性(-)", "-")


@dataclass(frozen=True)
class Test:
    """A laboratory test: its code list, LOINC, local code, names, and the unit it is reported in."""

    codelist: str
    loinc: str
    local_code: str
    chinese: str
    english: str
    unit: str = ""
    column: str = ""
    __test__ = False


COUNT = "10^9/L"
TESTS: dict[str, Test] = {
    "hemoglobin": Test("hemoglobin", "718-7", "LIS-HGB", "血红蛋白 HGB", "Hemoglobin", "g/L", "hemoglobin_g_l"),
    "platelets": Test("platelets", "777-3", "LIS-PLT", "血小板 PLT", "Platelets", COUNT, "platelets_10e9_l"),
    "lymphocytes": Test("lymphocytes", "731-0", "LIS-LYM", "淋巴细胞绝对值", "Absolute lymphocyte count", COUNT,
                        "lymphocytes_10e9_l"),
    "blasts": Test("pb_blasts", "26446-5", "LIS-BLAST", "外周血原始细胞", "PB blasts", "%", "pb_blast_percent"),
    "cd3": Test("cd3_absolute", "8122-4", "LIS-CD3A", "CD3+绝对计数", "CD3+ absolute count", COUNT, "cd3_10e9_l"),
    "cd3_share": Test("cd3_percent", "8124-0", "LIS-CD3P", "CD3+百分比", "CD3+ percent of lymphocytes", "%",
                      "cd3_percent_of_lymphocytes"),
    "ast": Test("ast", "1920-8", "LIS-AST", "谷草 AST", "Aspartate aminotransferase", "U/L", "ast_x_uln"),
    "alt": Test("alt", "1742-6", "LIS-ALT", "谷丙 ALT", "Alanine aminotransferase", "U/L", "alt_x_uln"),
    "bilirubin": Test("bilirubin_total", "14631-6", "LIS-TBIL", "总胆红素 TBIL", "Total bilirubin", "umol/L",
                      "bilirubin_x_uln"),
    "bilirubin_direct": Test("bilirubin_direct", "14629-0", "LIS-DBIL", "直接胆红素 DBIL", "Direct bilirubin", "umol/L",
                             "bilirubin_direct_x_uln"),
    "creatinine": Test("creatinine", "14682-9", "LIS-CREA", "肌酐 CREA", "Creatinine", "umol/L", "creatinine_umol_l"),
    "hcg": Test("hcg", "2110-5", "LIS-HCG", "血HCG", "Pregnancy test"),
    "hbsag": Test("hbsag", "5196-1", "LIS-HBSAG", "乙肝表面抗原 HBsAg", "HBsAg"),
    "anti_hbc": Test("anti_hbc", "13952-7", "LIS-HBCAB", "乙肝核心抗体", "Anti-HBc"),
    "hbv_dna": Test("hbv_dna", "42595-9", "LIS-HBVDNA", "HBV-DNA定量", "HBV-DNA", "IU/mL"),
    "anti_hcv": Test("anti_hcv", "13955-0", "LIS-HCVAB", "丙肝抗体", "Anti-HCV"),
    "hcv_rna": Test("hcv_rna", "11011-4", "LIS-HCVRNA", "HCV-RNA定量", "HCV-RNA", "IU/mL"),
    "hiv": Test("hiv", "56888-1", "LIS-HIV", "HIV抗原抗体", "HIV Ag/Ab"),
    "hiv_rna": Test("hiv_rna", "20447-9", "LIS-HIVRNA", "HIV-RNA定量", "HIV RNA", "copies/mL"),
    "hav_igm": Test("hav_igm", "22314-9", "LIS-HAVM", "甲肝抗体IgM", "HAV IgM"),
}  # fmt: skip
CBC = ("hemoglobin", "platelets", "lymphocytes", "blasts")
CD3 = ("cd3", "cd3_share")
LIVER = ("ast", "alt", "bilirubin", "bilirubin_direct")
HEALTHY = {"hemoglobin": 150, "platelets": 250, "lymphocytes": 2.0, "blasts": 0, "cd3": 1.5, "cd3_share": 75,
           "ast": 20, "alt": 20, "bilirubin": 9, "bilirubin_direct": 2, "creatinine": 70}  # fmt: skip
"""What the results after the index date say: whoever reads them gets another verdict."""
DECIMALS = {"lymphocytes": 2, "cd3": 3, "cd3_share": 1, "bilirubin": 1, "bilirubin_direct": 1}
SPREAD = {"cd3_share": 0.05, "bilirubin_direct": 0.2}


def write(s: Source, rows: Rows) -> None:
    panels = (
        ("cbc", CBC, s.hole("cbc"), "hemoglobin_g_l"),
        ("cd3", CD3, s.hole("cd3"), "cd3_10e9_l"),
        ("chemistry", (*LIVER, "creatinine"), s.hole("chemistry"), "creatinine_umol_l"),
    )
    dates = {name: _panel(s, rows, name, tests, ~hole, column) for name, tests, hole, column in panels}
    _creatinine_earlier(s, rows, dates["chemistry"])
    _serology(s, rows)
    _pregnancy(s, rows)


def _row(s: Source, rows: Rows, who, test: str, date, **more) -> None:
    """One result a patient of the mask, named as the patient's laboratory names it; some come twice."""
    t, p = TESTS[test], s.problems
    chinese = s.happens(f"name of {test}", p.chinese_names)
    more = {"specimen": "serum" if t.codelist not in ("hemoglobin", "platelets", "lymphocytes") else "blood"} | more
    columns = dict(
        test=test, date=date, report_date=np.minimum(date + 1, np.maximum(s.index_date, date)),
        local_code=t.local_code, local_name=np.where(chinese, t.chinese, t.english).astype(object),
        loinc=np.where(s.happens(f"LOINC of {test}", p.loinc_missing), "", t.loinc).astype(object),
    ) | more  # fmt: skip
    rows.add("labs", who, **columns)
    double = who & s.happens(f"twice {test}", p.duplicates)
    rows.count("duplicates", double)
    rows.add("labs", double, **columns)


def _panel(s: Source, rows: Rows, name: str, tests, who: np.ndarray, column: str) -> np.ndarray:
    """The results of one tube: in the window, some moved out of it, some damaged; and results after the index date."""
    p = s.problems
    stale = who & s.happens(f"stale {name}", p.stale)
    date = np.where(stale, s.ago(s.whole(f"stale day {name}", 91, 360)), s.ago(s.days(column)))
    rows.count("stale", stale)
    repeated = who & ~stale & s.happens(f"earlier {name}", p.earlier_results)
    before = date - s.whole(f"earlier day {name}", 1, 60)
    later = s.happens(f"after the index {name}", p.post_index)
    after = np.full(s.size, s.index_date) + s.whole(f"day after the index {name}", 1, 30)
    rows.count("post_index", later)
    for test in tests:
        rows.note(stale, TESTS[test].column, "stale", "unknown", "older than the window of 90 days")
        value, unit, invalid = _damaged(s, rows, test, who & ~stale)
        limits = _limits(s, test)
        report = date + 1
        if test == "hemoglobin":
            wrong = who & s.happens("reported before the sample", p.impossible_order)
            rows.count("impossible_order", wrong)
            report = np.where(wrong, date - 30, report)
        report = np.minimum(report, s.index_date)
        _row(s, rows, who, test, date, value_num=value, unit=unit, report_date=report, **limits)
        # Beside an unusable result there is no older one, so that its cell is unknown.
        older = s[test] * np.exp(SPREAD.get(test, 0.3) * (s.uniform(f"earlier value {test}") - 0.5))
        older = np.round(older, DECIMALS.get(test, 0))
        older = np.minimum(older, 100) if TESTS[test].unit == "%" else older
        _row(s, rows, repeated & ~invalid, test, before, value_num=older, unit=TESTS[test].unit, **limits)
        healthy = np.full(s.size, float(HEALTHY[test]))
        _row(s, rows, later, test, after, value_num=healthy, unit=TESTS[test].unit, **limits)
    return date


def _limits(s: Source, test: str) -> dict[str, np.ndarray]:
    if test not in LIVER:
        return {}
    return {"ref_high": np.where(s.hole("uln"), np.nan, s[f"{test}_uln"])}


def _damaged(s: Source, rows: Rows, test: str, who) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value and unit as reported, and who has an unusable one."""
    p, column = s.problems, AML_COLUMNS[TESTS[test].column]
    value = s[test].astype(float)
    unit = np.full(s.size, TESTS[test].unit, dtype=object)
    invalid = np.zeros(s.size, dtype=bool)
    if TESTS[test].unit == COUNT and p.chinese_names:
        unit = np.array(["10^9/L", "×10^9/L", "10*9/L"], dtype=object)[s["site"]]
    if test == "cd3":
        proper = s.happens("CD3 per microlitre", p.cd3_per_ul)
        # Small counts would stay possible under the wrong label, and so be read as another value.
        invalid = who & ~proper & s.happens("CD3 with a wrong label", p.cd3_wrong_label) & (value * 1000 > 50)
        unit[proper] = "cells/uL"
        value = np.where(proper | invalid, np.round(value * 1000), value)
        rows.count("cd3_wrong_label", invalid)
        rows.note(invalid, column.name, "cd3_wrong_label", "unknown", "cells/uL labelled as 10^9/L: out of range")
    other, factor, name = {
        "hemoglobin": (p.hemoglobin_g_dl, 0.1, "g/dL"),
        "creatinine": (p.creatinine_mg_dl, 1 / MG_DL, "mg/dL"),
    }.get(test, (0.0, 1.0, ""))
    converted = who & s.happens(f"unit of {test}", other)
    if name:
        # As many digits as give the value back: rounding as a laboratory does would give another value.
        value = np.where(converted, np.round(value * factor, 1 if test == "hemoglobin" else 13), value)
        unit[converted] = name
        rows.count("hemoglobin_g_dl" if test == "hemoglobin" else "creatinine_mg_dl", converted)
    if not column.upper_limit:
        # Only where ten times the value is impossible: elsewhere nobody can see the error.
        typo = who & ~converted & ~invalid & (unit != "cells/uL") & (value * 10 > column.hard[1])
        typo &= s.happens(f"typo {test}", p.typos)
        value = np.where(typo, value * 10, value)
        rows.count("typos", typo)
        rows.note(typo, column.name, "typos", "unknown", "ten times too high: out of range")
        invalid = invalid | typo
    return value, unit, invalid


def _creatinine_earlier(s: Source, rows: Rows, date: np.ndarray) -> None:
    who = ~s.hole("creatinine_earlier")
    earlier = date - s.whole("creatinine earlier", 91, 270)
    _row(s, rows, who, "creatinine", earlier, value_num=s["creatinine_earlier"].astype(float), unit="umol/L")
    without = who & (s.hole("chemistry") | (date < s.index_date - 90))
    rows.note(without, "creatinine_earlier_umol_l", "stale", "may_be_unknown", "no latest value to count from")
    damaged = np.zeros(s.size, dtype=bool)
    for entry in rows.entries:
        if entry["column"].iloc[0] == "creatinine_umol_l" and entry["kind"].iloc[0] == "typos":
            damaged[entry["row"].to_numpy()] = True
    rows.note(who & damaged, "creatinine_earlier_umol_l", "typos", "may_be_unknown", "no latest value to count from")


def _text(s: Source, name: str, positive: np.ndarray) -> np.ndarray:
    languages = 4 if s.problems.chinese_names else 1
    k = np.minimum((s.uniform(f"words of {name}") * languages).astype(int), languages - 1)
    return np.where(positive, np.array(POSITIVE, dtype=object)[k], np.array(NEGATIVE, dtype=object)[k])


def _presence(s: Source, rows: Rows, who, test: str, date, positive) -> None:
    _row(s, rows, who, test, date, value_text=_text(s, test, positive))


def _load(s: Source, rows: Rows, who, test: str, date, load: np.ndarray, limit: int) -> None:
    """A viral load, "<limit", or words."""
    found = load > 0
    words = ~found & s.happens(f"not detected {test}", 0.4 * bool(s.problems.chinese_names))
    text = np.where(words, "未检出", f"<{limit}").astype(object)
    unit = TESTS[test].unit
    _row(s, rows, who & found, test, date, value_num=load, unit=unit)
    _row(s, rows, who & words, test, date, value_text=text, unit=unit)
    _row(s, rows, who & ~found & ~words, test, date, value_text=text, comparator="<", unit=unit,
         value_num=np.full(s.size, float(limit)))  # fmt: skip


def _serology(s: Source, rows: Rows) -> None:
    screened = ~s.hole("serology")
    date = s.ago(s.whole("day of serology", 10, 170))
    for test in ("hbsag", "anti_hbc", "anti_hcv", "hiv"):
        _presence(s, rows, screened, test, date, s[test])
    later = s.happens("serology after the index", s.problems.post_index)
    rows.count("post_index", later)
    _presence(s, rows, later, "hbsag", np.full(s.size, s.index_date + 7), ~s["hbsag"])
    recent = s.ago(s.whole("day of viral load", 1, 85))
    no_dna = s.hole("hbv_dna_hbsag") | s.hole("hbv_dna_core_only") | s.hole("hbv_dna_negative")
    _load(s, rows, ~no_dna, "hbv_dna", recent, s["hbv_dna"].astype(float), 20)
    # Patients without antibody have no RNA test, but those whose antibody is not recorded.
    rna = (s["anti_hcv"] | s.hole("serology")) & ~s.hole("hcv_rna")
    _load(s, rows, rna, "hcv_rna", recent, np.where(s["hcv_rna"], 250_000.0, 0.0), 15)
    _load(s, rows, s["hiv"] & screened, "hiv_rna", recent, np.where(s["hiv_viraemic"], 48_000.0, 0.0), 20)
    tested = ~s.hole("hav_igm")
    since = np.where(s["hav_igm"], s["hav_days"], s.whole("day of HAV IgM", 1, 170))
    _presence(s, rows, tested, "hav_igm", s.ago(since), s["hav_igm"])
    # A coded HIV disease is known although the screening panel is not.
    told = s["aids"] & ~screened
    rows.note(told, "hiv", "known otherwise", "value", "AIDS is coded", np.ones(s.size))
    rows.note(told, "hiv_viraemic", "known otherwise", "may_be_unknown", "AIDS is coded, without a viral load")


def _pregnancy(s: Source, rows: Rows) -> None:
    who = s["childbearing"] & ~s.hole("pregnancy_test")
    date = np.where(who, s.ago(s.days("pregnancy_test")), NO_DATE)
    _presence(s, rows, who, "hcg", date, s["pregnant"])
