"""The latent patients behind the synthetic AML registry: who they are before a registry has written anything down.

``draw_patients`` returns *facts*: arrays of one value per patient, dates as ``datetime64[D]``, "never" as inf, what
cannot exist for a patient as NaN or NaT. ``aml_registry`` turns them into a cohort table; event tables come from the
same facts.
"""

from __future__ import annotations

import numpy as np

from feasibility.cohort.windows import completed_years, exact_years, months_from_to
from feasibility.synthetic import (
    Copula,
    Draws,
    Parameters,
    lognormal,
    normal_cdf,
    ordinal,
    truncated_lognormal,
    truncated_normal,
)

LATENT = ("age", "ecog", "hemoglobin", "platelets", "cd3", "ast", "alt", "bilirubin", "creatinine")
PATTERNS = (
    "primary_refractory", "early_relapse", "late_salvage_failed", "late_other", "multiple_relapse", "one_course",
    "newly_diagnosed", "first_remission",
)  # fmt: skip
CYCLES = 3
"""Most relapses a synthetic patient has."""
MONTH = 30.4375
INF = np.inf
NO_DATE = np.datetime64("NaT", "D")


def copula(p: Parameters) -> Copula:
    return Copula.from_pairs(LATENT, p.section("correlation"))


def draw_patients(draws: Draws, p: Parameters, index_date: np.datetime64) -> dict[str, np.ndarray]:
    """Every fact of the patients of one block."""
    z = copula(p).draw(draws)
    facts: dict[str, np.ndarray] = {}
    for step in (_person, _history, _leukemia, _transplant, _blood, _chemistry, _heart, _infection, _medication):
        facts |= step(draws, p, z, facts, index_date)
    return facts


def _person(draws, p, z, f, index_date):
    a = p.section("age")
    age = truncated_normal(normal_cdf(z["age"]), a["mean"], a["sd"], a["low"], a["high"] + 0.999)
    birth = index_date - np.floor(age * 365.2425).astype(int)
    male = draws.happens("male", p["sex.male"])
    years = completed_years(birth, index_date)
    fertile = ~male & (years >= p["reproduction.low"]) & (years <= p["reproduction.high"])
    ecog = ordinal(normal_cdf(z["ecog"]), p["ecog.probabilities"])
    inpatient = draws.happens("inpatient", p["care.inpatient_base"] + p["care.inpatient_per_ecog"] * ecog)
    return {
        "birth_date": birth, "age_years": years, "age_exact_years": exact_years(birth, index_date), "male": male,
        "site": draws.code("site", p["site.probabilities"]), "ecog": ecog, "childbearing": fertile,
        "pregnant": fertile & draws.happens("pregnant", p["reproduction.pregnant"]),
        "lactating": fertile & draws.happens("lactating", p["reproduction.lactating"]),
        "inpatient": inpatient, "outpatient": ~inpatient, "referred": draws.happens("referred", p["care.referred"]),
        "recent_anthracycline": draws.happens("anthracycline", p["care.recent_anthracycline"]),
        "over_70": years > 70, "ecog_over_2": ecog > 2,
    }  # fmt: skip


def _history(draws, p, z, f, index_date):
    """Courses, remissions and relapses, laid out backwards from the index date."""
    size, h, d = draws.size, p.section("history"), p["disease.decoys"]
    shares = [p["pattern." + name] * (1 - d) for name in PATTERNS[:-2]]
    pattern = draws.code("pattern", [*shares, d / 2, d / 2])

    def is_(*names):
        return np.isin(pattern, [PATTERNS.index(name) for name in names])

    early, late = is_("early_relapse"), is_("late_salvage_failed", "late_other")
    multiple, refractory = is_("multiple_relapse"), is_("primary_refractory")
    n_relapses = (early | late).astype(int) + multiple * (2 + draws.happens("three", h["three_relapses"]))
    # A patient whose last response is a remission has no active disease, and the other way round.
    active = draws.happens("active", p["disease.active"]) & ~is_("first_remission") | is_("newly_diagnosed")

    induction = 1 + draws.happens("second_induction", h["two_inductions_to_remission"]).astype(int)
    induction[refractory] = 2 + draws.code("refractory_courses", h["induction_courses_refractory"])[refractory]
    induction[is_("one_course")] = 1
    induction[is_("newly_diagnosed")] = 0
    share = h["intensive_course"]
    intensive = sum((draws.uniform(f"intensive_{k}") < share) & (induction > k) for k in range(4))
    any_intensity = induction + (draws.happens("low_intensity", h["low_intensity_course"]) & (induction > 0))

    salvage = draws.code("early_salvage", h["early_salvage_courses"]).astype(int)
    resisted = is_("late_salvage_failed")
    salvage[resisted] = 1 + draws.happens("second_salvage", 0.3)[resisted]
    salvage[is_("late_other")] = 0
    salvage[n_relapses == 0] = 0
    # Remission after the last relapse needs a course that brought it; late_other patients are still unsalvaged.
    salvage[(n_relapses > 0) & ~active] = np.maximum(salvage, 1)[(n_relapses > 0) & ~active]

    # months[:, c]: from remission c to relapse c; the last one belongs to the pattern.
    low, high = h["months_to_relapse_low"], h["months_to_relapse_high"]
    shape = h["months_to_relapse_median"], h["months_to_relapse_sigma"]
    days = np.empty((size, CYCLES), dtype=int)
    for c in range(CYCLES):
        last = n_relapses == c + 1
        lo = np.where(last & late, 12.1, low)
        # Earlier remissions are kept short enough for the whole history to fit into the youngest patient's life.
        hi = np.where(last & early, 12.0, np.where(last, high, 24.0))
        days[:, c] = np.round(MONTH * truncated_lognormal(draws.uniform(f"interval_{c}"), *shape, lo, hi))
        days[:, c] = np.where(last & early, np.minimum(days[:, c], 365), days[:, c])
    since_relapse = np.round(7 + lognormal(draws.normal("since_relapse"), 25, 0.8)).clip(8, 300) + 32 * salvage

    remission = np.full((size, CYCLES), NO_DATE)
    relapse = np.full((size, CYCLES), NO_DATE)
    next_event = index_date - since_relapse.astype(int)
    for c in reversed(range(CYCLES)):
        had = n_relapses > c
        relapse[had, c] = next_event[had]
        remission[had, c] = (next_event - days[:, c])[had]
        gap = np.round(35 + 85 * draws.uniform(f"gap_{c}")).astype(int)
        next_event = np.where(had, next_event - days[:, c] - gap, next_event)
    to_remission = np.round(28 + 40 * (induction - 1).clip(0) + 14 * draws.uniform("to_remission")).astype(int)
    treated = np.round(40 * induction + 10 + 60 * draws.uniform("treated")).astype(int)
    diagnosis = np.where(n_relapses > 0, remission[:, 0] - to_remission, index_date - treated)

    # Consolidation follows each remission as far as the time to relapse allows.
    consolidation = np.zeros((size, CYCLES), dtype=int)
    for c in range(CYCLES):
        chance = np.where(early, h["early_consolidated"], h["other_consolidated"])
        given = draws.happens(f"consolidated_{c}", chance) & (n_relapses > c)
        room = np.maximum((days[:, c] - 10) // 35, 1)
        consolidation[:, c] = given * np.minimum(draws.whole(f"consolidations_{c}", 1, 4), room)
    end_of_consolidation = np.where(
        consolidation > 0, np.minimum(remission + 30 * consolidation, relapse - 3), NO_DATE
    ).astype("M8[D]")
    failed = early & (consolidation[:, 0] > 0) & draws.happens("consolidation_failed", h["consolidation_failed"])

    first_remission = is_("first_remission")
    return {
        "pattern": pattern, "active": active, "n_relapses": n_relapses, "diagnosis_date": diagnosis,
        "remission_date": remission, "relapse_date": relapse, "end_of_consolidation": end_of_consolidation,
        "relapsed": n_relapses > 0, "cr_ever": (n_relapses > 0) | first_remission | ~active,
        "induction": induction, "induction_intensive": intensive, "induction_any": any_intensity,
        "consolidation": consolidation.sum(axis=1), "consolidation_failed": failed, "salvage": salvage,
        "prior_courses": any_intensity + consolidation.sum(axis=1) + salvage + (n_relapses - 1).clip(0)
        + (refractory & ~active),
        "newly_diagnosed": is_("newly_diagnosed"),
    }  # fmt: skip


def _leukemia(draws, p, z, f, index_date):
    d = p.section("disease")
    active, relapsed = f["active"], f["relapsed"]
    em_active = active & draws.happens("em_active", d["em_active"] / d["active"])
    em_before = draws.happens("em_before", (d["em_ever"] - d["em_active"]) / (1 - d["em_active"]))
    blasts = lognormal(draws.normal("blasts"), 30, 0.8).clip(6, 98)
    few = ~draws.happens("blasts_over_5", d["blasts_over_5"])
    blasts = np.where(few, np.floor(6 * draws.uniform("few_blasts")), np.round(blasts))
    # Codes follow RESPONSES: CR_MRDneg, CR, CRh, CRi, MLFS, PR, NR, PD.
    remission = draws.code("which_remission", [0.30, 0.40, 0.05, 0.25])
    resistant = 4 + draws.code("which_resistance", [0.05, 0.25, 0.70])
    after_salvage = np.where(active, 4 + draws.code("salvage_resistance", [0.05, 0.25, 0.45, 0.25]),
                             draws.code("salvage_remission", [0.30, 0.35, 0.05, 0.30]))  # fmt: skip
    induction_worked = relapsed | (f["pattern"] == PATTERNS.index("first_remission"))
    # disease_status: primary_refractory, relapsed, active, mrd_only, remission.
    status = np.where(relapsed, 1, np.where(f["pattern"] == PATTERNS.index("primary_refractory"), 0, 2))
    status = np.where(active, status, np.where(draws.happens("mrd_only", d["mrd_only"]), 3, 4))
    return {
        "apl": draws.happens("apl", d["apl"]), "disease_status": status, "em_active": em_active,
        "em_ever": em_active | (em_before & ~f["newly_diagnosed"]), "blasts": np.where(active, blasts, 0.0),
        "best_induction": np.where(f["newly_diagnosed"], -1, np.where(induction_worked, remission, resistant)),
        "best_salvage": np.where(f["salvage"] > 0, after_salvage, -1),
    }  # fmt: skip


def _transplant(draws, p, z, f, index_date):
    t = p.section("transplant")
    chance = np.where(f["relapsed"], t["relapsed"], t["primary_refractory"]) * ~f["newly_diagnosed"]
    hsct = draws.happens("hsct", chance)
    allo = hsct & draws.happens("allogeneic", t["allogeneic"])
    known_for = (index_date - f["diagnosis_date"]).astype(int)
    since_hsct = np.maximum(np.round(known_for * (0.25 + 0.5 * draws.uniform("hsct_when"))), np.minimum(60, known_for))
    immunosuppressed = allo & draws.happens("immunosuppressed", t["immunosuppressed"] / t["allogeneic"])
    recent = np.where(draws.happens("is_ongoing", t["ongoing"]), 0.0, draws.whole("is_recent", 1, 41))
    stopped = np.round(42 + lognormal(draws.normal("is_stopped"), 90, 1.0))
    stopped = np.minimum(stopped, np.maximum(since_hsct, 42))
    active = t["gvhd_active"] / t["allogeneic"]
    gvhd = allo & draws.happens("gvhd", active)
    before = draws.happens("gvhd_before", (t["gvhd_ever"] - active) / (1 - active))
    return {
        "hsct": hsct, "allogeneic": allo, "hsct_date": np.where(hsct, index_date - since_hsct.astype(int), NO_DATE),
        "immunosuppressed": immunosuppressed, "gvhd_active": gvhd,
        "days_since_immunosuppressant": np.where(allo, np.where(immunosuppressed, recent, stopped), INF),
        "gvhd_significant": gvhd & draws.happens("gvhd_significant", t["gvhd_significant"]),
        "gvhd_ever": gvhd | (allo & before), "external_transplant": hsct
        & draws.happens("external_transplant", p["care.external_transplant"]),
    }  # fmt: skip


def _blood(draws, p, z, f, index_date):
    b = p.section("blood")
    # Counts are reported as whole numbers; rounded up, so that "above 60" has the probability of the distribution.
    hemoglobin = np.ceil(lognormal(z["hemoglobin"], b["hemoglobin_median"], b["hemoglobin_sigma"])).clip(20, 200)
    platelets = np.ceil(lognormal(z["platelets"], b["platelets_median"], b["platelets_sigma"])).clip(1, 1500)
    median = np.where(f["hsct"], b["cd3_median_hsct"], b["cd3_median"])
    cd3 = np.round(lognormal(z["cd3"], median, b["cd3_sigma"]), 3).clip(0.001, 20)
    share = truncated_normal(draws.uniform("cd3_share"), b["cd3_share_mean"], b["cd3_share_sd"], 25, 95)
    lymphocytes = np.ceil(100 * cd3 / share * 100) / 100
    # Transfused the sooner the lower the count.
    rbc = np.round(lognormal(draws.normal("rbc_when"), 12, 0.9) * (hemoglobin / 80) ** 3)
    plt = np.round(lognormal(draws.normal("plt_when"), 10, 0.9) * (platelets / 40) ** 0.8)
    return {
        "hemoglobin": hemoglobin, "platelets": platelets, "cd3": cd3, "lymphocytes": lymphocytes,
        "cd3_share": np.round(100 * cd3 / lymphocytes, 1),
        "since_rbc": np.where(draws.happens("rbc", p["care.rbc_transfused"]), rbc.clip(0, 720), INF),
        "since_plt": np.where(draws.happens("plt", p["care.platelets_transfused"]), plt.clip(0, 720), INF),
    }  # fmt: skip


def _chemistry(draws, p, z, f, index_date):
    c, uln, male, site = p.section("chemistry"), p.section("uln"), f["male"], f["site"]
    hav = draws.happens("hav_igm", p["infection.hav_igm"])
    hepatitis = np.where(draws.happens("hepatitis", c["hepatitis"]), c["hepatitis_factor"], 1.0)

    def limit(name):
        return np.where(
            male, np.asarray(uln[name + "_male"], float)[site], np.asarray(uln[name + "_female"], float)[site]
        )

    ast_uln, alt_uln, bilirubin_uln = limit("ast"), limit("alt"), limit("bilirubin")
    ast = np.round(lognormal(z["ast"], c["ast_median"], c["ast_sigma"]) * hepatitis).clip(3, 9000)
    alt = np.round(lognormal(z["alt"], c["alt_median"], c["alt_sigma"]) * hepatitis).clip(3, 9000)
    # Acute hepatitis A shows: an untested patient with normal ALT does not have it.
    ast, alt = np.where(hav, np.maximum(ast, 6 * ast_uln), ast), np.where(hav, np.maximum(alt, 8 * alt_uln), alt)
    bilirubin = np.round(lognormal(z["bilirubin"], c["bilirubin_median"], c["bilirubin_sigma"]) * hepatitis, 1)
    share = truncated_normal(draws.uniform("direct"), c["direct_share_mean"], 0.1, 0.05, 0.8)
    gilbert = draws.happens("gilbert", c["gilbert"])
    share = np.where(gilbert, share / 2, np.where(hepatitis > 1, (share + 0.9) / 2, share))
    direct = np.round(bilirubin * share, 1)
    renal = draws.happens("renal", c["renal"])
    baseline = lognormal(
        z["creatinine"],
        np.where(male, c["creatinine_median_male"], c["creatinine_median_female"]),
        c["creatinine_sigma"],
    )
    creatinine = np.round(baseline * np.where(renal, c["renal_factor"], 1.0)).clip(15, 2000)
    chronic = renal & draws.happens("chronic", c["renal_chronic"])
    drift = np.exp(0.12 * draws.normal("creatinine_earlier"))
    earlier = np.round(baseline * np.where(chronic, c["renal_factor"], 1.0) * drift).clip(15, 2000)
    return {
        "ast": ast, "ast_uln": ast_uln, "alt": alt, "alt_uln": alt_uln, "alt_over_2": alt > 2 * alt_uln,
        "bilirubin": bilirubin, "bilirubin_uln": bilirubin_uln, "bilirubin_direct": direct,
        "bilirubin_direct_uln": np.asarray(uln["bilirubin_direct"], float)[site], "gilbert": gilbert,
        "creatinine": creatinine, "creatinine_earlier": earlier, "hav_igm": hav,
    }  # fmt: skip


def _heart(draws, p, z, f, index_date):
    h = p.section("heart")
    failure = draws.happens("heart_failure", h["heart_failure"])
    nyha = np.where(failure, 1 + draws.code("nyha", h["nyha"]), 1)
    mi = draws.happens("mi", h["mi_ever"])
    recent = draws.happens("mi_recent", h["mi_recent"] / h["mi_ever"])
    mi_days = np.where(
        recent, draws.whole("mi_recent_days", 5, 181), np.round(185 + 3600 * draws.uniform("mi_days") ** 2)
    )
    cabg = mi & draws.happens("cabg", h["cabg_after_mi"])
    cabg_days = np.maximum(mi_days - draws.whole("cabg_after", 1, 60), 3)
    myopathy = draws.happens("cardiomyopathy", h["cardiomyopathy"])
    severe = myopathy & draws.happens("cardiomyopathy_severe", h["cardiomyopathy_severe"] / h["cardiomyopathy"])
    # The remaining patients' share is what makes the overall share of low ejection fractions the stated one.
    s, hf = h["cardiomyopathy_severe"], h["heart_failure"] * (1 - h["cardiomyopathy_severe"])
    in_severe, in_failure = h["lvef_below_45_severe_cardiomyopathy"], h["lvef_below_45_heart_failure"]
    rest = (h["lvef_below_45"] - s * in_severe - hf * in_failure) / (1 - s - hf)
    low = draws.happens("lvef_low", np.where(severe, in_severe, np.where(failure, in_failure, max(rest, 0.0))))
    u = draws.uniform("lvef")
    lvef = np.floor(np.where(low, truncated_normal(u, 39, 5, 20, 44.99), truncated_normal(u, 61, 6, 45, 79.99)))
    lvef = np.where(myopathy & ~severe, np.maximum(lvef, 36), lvef)
    lowest = lvef - np.where(draws.happens("lvef_was_lower", 0.15), draws.whole("lvef_drop", 1, 8), 0)
    lowest = np.where(severe, np.minimum(lowest, draws.whole("lvef_severe", 18, 35)), lowest)
    lowest = np.where(myopathy & ~severe, np.maximum(lowest, 36), lowest)
    return {
        "heart_failure": failure, "nyha": nyha, "nyha_1": nyha == 1,
        "nyha_worst": np.where(failure, np.minimum(nyha + draws.happens("nyha_worse", 0.3), 4), nyha),
        "mi_days": np.where(mi, mi_days, INF), "cabg_days": np.where(cabg, cabg_days, INF),
        "arrhythmia_days": np.where(draws.happens("arrhythmia", h["ventricular_arrhythmia"]),
                                    draws.whole("arrhythmia_days", 10, 1800), INF),
        "syncope_days": np.where(draws.happens("syncope", h["syncope"]), draws.whole("syncope_days", 10, 1800), INF),
        "cardiomyopathy": myopathy, "cardiomyopathy_severe": severe, "lvef": lvef, "lvef_lowest": lowest.clip(10),
        "lvef_latest": lvef + np.where(draws.happens("lvef_repeated", 0.15), draws.whole("lvef_rise", 0, 6), 0),
        "cardiac_history": failure | mi | myopathy,
    }  # fmt: skip


def _infection(draws, p, z, f, index_date):
    i, size = p.section("infection"), draws.size
    uncontrolled = draws.happens("uncontrolled", i["uncontrolled_base"] + i["uncontrolled_per_ecog"] * f["ecog"])
    other = ~uncontrolled & draws.happens("other_active", i["other_active"])
    other_severe = other & draws.happens("other_severe", i["other_severe"])
    hbsag = draws.happens("hbsag", np.where(f["male"], i["hbsag_male"], i["hbsag_female"]))
    carriers = p["sex.male"] * i["hbsag_male"] + (1 - p["sex.male"]) * i["hbsag_female"]
    core = hbsag | draws.happens("anti_hbc", (i["anti_hbc"] - carriers) / (1 - carriers))
    has_dna = draws.happens("hbv_dna", np.where(hbsag, i["hbv_dna"], i["hbv_occult"] * core))
    load = truncated_lognormal(draws.uniform("hbv_load"), i["hbv_dna_median"], i["hbv_dna_sigma"], 21, 1e9)
    hcv = draws.happens("anti_hcv", i["anti_hcv"])
    rna = hcv & draws.happens("hcv_rna", i["hcv_rna"] / i["anti_hcv"])
    hiv = draws.happens("hiv", i["hiv"])
    past_hav = draws.happens("hav_past", i["hav_past"]) & ~f["hav_igm"]
    hav_days = np.where(f["hav_igm"], draws.whole("hav_days", 3, 90), draws.whole("hav_past_days", 400, 9000))
    carrier = hbsag | hcv | hiv | f["hav_igm"]
    severity = np.full(size, -1)
    severity[other] = other_severe[other]
    severity[uncontrolled] = 1
    control = np.full(size, -1)
    control[other] = (other_severe | draws.happens("mild_controlled", 0.5))[other]
    control[uncontrolled] = 0
    return {
        "active_infection": uncontrolled | other, "infection_severe": severity, "infection_controlled": control,
        "hbsag": hbsag, "anti_hbc": core, "hbv_dna": np.where(has_dna, np.round(load), 0.0),
        "anti_hcv": hcv, "hcv_rna": rna, "hiv": hiv, "hiv_viraemic": hiv & draws.happens("viraemic", i["hiv_viraemic"]),
        "aids": hiv & draws.happens("aids", i["aids"] / i["hiv"]),
        "hav_days": np.where(f["hav_igm"] | past_hav, hav_days, INF),
        "viral_controlled": np.where(carrier, draws.happens("viral_controlled", i["viral_controlled"]), -1),
        "carrier": carrier,
    }  # fmt: skip


def _medication(draws, p, z, f, index_date):
    """Immunosuppressants for another disease; one kind a patient."""
    m = p.section("immunosuppression")
    steroid = m["excluding"] * m["excluding_steroid"]
    kind = draws.code("immunosuppression", [
        1 - m["excluding"] - m["low_steroid"] - m["past"],
        steroid, m["excluding"] - steroid, m["low_steroid"], m["past"],
    ])  # fmt: skip
    high, agent, low, past = (kind == k for k in (1, 2, 3, 4))
    past_steroid = past & draws.happens("past_steroid", 0.5)
    length = np.round(lognormal(draws.normal("is_days"), m["course_days_median"], m["course_days_sigma"])).clip(
        28, 4000
    )
    dose = np.array([20, 25, 30, 40, 50, 60.0])[draws.code("high_dose", [0.35, 0.2, 0.2, 0.15, 0.05, 0.05])]
    small = np.array([10, 12.5, 15.0])[draws.code("low_dose", [0.6, 0.1, 0.3])]
    mean = np.where(high, dose, np.where(low, small, 0.0))
    tapered = draws.happens("tapered", 0.3)
    peak = mean * np.where(tapered, 1.25, 1.0)
    start = np.where(draws.happens("started_high", 0.5), 2.0, 1.0)
    return {
        "nonsteroid_days": np.where(agent, length, 0.0), "steroid_days": np.where(high | low, length, 0.0),
        "nonsteroid_days_ever": np.where(agent | (past & ~past_steroid), length, 0.0),
        "steroid_days_ever": np.where(high | low | past_steroid, length, 0.0),
        "steroid_mean": mean, "steroid_current": mean * np.where(tapered, 0.75, 1.0), "steroid_max": peak,
        "steroid_max_ever": np.where(past_steroid, dose, peak * start),
        "severe_allergy": draws.happens("allergy", p["allergy.severe"]),
        "severe_allergy_of_class": draws.happens(
            "allergy_class", (p["allergy.severe_class"] - p["allergy.severe"]) / (1 - p["allergy.severe"])),
    }  # fmt: skip


def history_months(f: dict[str, np.ndarray], blurred: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The six times to relapse, exact or, with ``blurred``, from dates known to the month.

    ``blurred`` replaces the start and end dates by other arrays of the same shape: the earliest or latest possible day.
    Never relapsed is inf; NaN says that there was no consolidation to count from.
    """
    dates = f | (blurred or {})
    never = f["n_relapses"] == 0
    last = (f["n_relapses"] - 1).clip(0)
    rows = np.arange(len(last))
    result = {}
    for anchor, start in (("cr", "remission_date"), ("consolidation", "end_of_consolidation")):
        months = months_from_to(dates[start], dates["relapse_date"])
        months = np.where(months < 0, 0.0, months)
        first = np.where(never, INF, months[:, 0])
        latest = np.where(never, INF, months[rows, last])
        shortest = np.where(never, INF, np.fmin.reduce(months, axis=1))
        result |= {
            f"months_from_{anchor}_to_relapse": latest,
            f"months_from_first_{anchor}_to_first_relapse": first,
            f"shortest_months_from_{anchor}_to_relapse": shortest,
        }
    return result
