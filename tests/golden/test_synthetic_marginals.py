"""The registry against its own parameters: every stated share within 4 binomial standard deviations."""

import numpy as np
import pytest

from feasibility import load_trial, screen
from feasibility.trials.aml_patient import LATENT, copula
from feasibility.trials.aml_registry import BLURRED, ERASED, registry_holes, synthetic_registry

N = 200_000


@pytest.fixture(scope="module")
def registry():
    return synthetic_registry(N, seed=11)


@pytest.fixture(scope="module")
def t(registry):
    return registry.truth.reset_index(drop=True)


def near(mask, share, among=None):
    mask = np.asarray(mask, dtype=float)
    mask = mask if among is None else mask[np.asarray(among, dtype=bool)]
    assert len(mask) > 100
    assert abs(mask.mean() - share) <= 4 * np.sqrt(share * (1 - share) / len(mask)), (mask.mean(), share, len(mask))


def test_person(t):
    near(t["sex"] == "male", 0.56)
    near(t["age_years"].between(18, 70), 0.8979)  # truncated normal: (P(71) - P(18)) / (P(91) - P(14))
    for score, share in enumerate([0.15, 0.50, 0.22, 0.10, 0.03]):
        near(t["ecog"] == score, share)
    women = 0.44 * 0.4946  # 15 to 49 completed years
    near(t["childbearing_potential"], women)
    near(t["pregnant"], women * 0.006)
    near(t["lactating"], women * 0.003)


def test_disease_and_history(t):
    near(t["aml_subtype"] == "apl", 0.03)
    near(~t["disease_status"].isin(["remission", "mrd_only"]), 0.93)
    near(t["em_active"], 0.12)
    near(t["em_ever"], 0.18)
    early = (t["n_relapses"] == 1) & (t["months_from_cr_to_relapse"] <= 12)
    late = (t["n_relapses"] == 1) & ~early
    near(t["n_relapses"] == 0, 0.33)
    near(early, 0.38)
    near(late, 0.19)
    near(t["n_relapses"] >= 2, 0.10)
    near(t["n_consolidation_courses"] >= 1, 0.80, among=early)
    near((t["n_induction_courses"] >= 2) & (t["n_relapses"] == 0), 0.30)
    resisted = late & (t["n_salvage_courses"] >= 1) & t["best_response_salvage"].isin(["NR", "PD", "PR", "MLFS"])
    near(resisted, 0.07 * 0.93)  # the others of the late, resistant relapses answered after all


def test_blood(t):
    near(t["hemoglobin_g_l"] > 60, 0.9045)
    near(t["platelets_10e9_l"] > 30, 0.6132)
    near(t["cd3_10e9_l"] > 0.5, 0.6937, among=~t["hsct"])
    near(t["cd3_10e9_l"] > 0.5, 0.5, among=t["hsct"])
    near(t["pb_blast_percent"] > 5, 0.60 * 0.93)
    assert abs(t["platelets_10e9_l"].median() - 40) <= 1
    assert abs(t["hemoglobin_g_l"].median() - 80) <= 1


def test_chemistry(t):
    # By quadrature from the marginals: the three laboratories, sex, and the component that is multiplied.
    assert 0.010 < (t["ast_x_uln"] > 3).mean() < 0.04
    assert 0.010 < (t["alt_x_uln"] > 3).mean() < 0.04
    assert 0.005 < (t["bilirubin_x_uln"] > 3).mean() < 0.02
    assert 0.005 < (t["creatinine_umol_l"] >= 178).mean() < 0.02
    assert abs(t.loc[t["sex"] == "male", "creatinine_umol_l"].median() - 71) <= 1
    assert abs(t.loc[t["sex"] == "female", "creatinine_umol_l"].median() - 57) <= 1


def test_heart(t):
    near(t["heart_failure"], 0.04)
    near(t["heart_failure"] & (t["nyha_class"] >= 3), 0.01)
    near(t["months_since_mi"] < np.inf, 0.05)
    near(t["months_since_mi"] <= 6, 0.006)
    near((t["months_since_ventricular_arrhythmia"] < np.inf), 0.006)
    near((t["months_since_unexplained_syncope"] < np.inf), 0.004)
    near(t["nonischemic_cardiomyopathy_severe"].fillna(False), 0.005)
    near(t["lvef_min_pct"] < 45, 0.03)


def test_infection_and_immunosuppression(t):
    severe = t["active_infection"] & t["infection_severe"] & ~t["infection_controlled"]
    for score in range(5):
        near(severe, 0.05 + 0.07 * score, among=t["ecog"] == score)
    near(t["hbsag"], 0.085, among=t["sex"] == "male")
    near(t["hbsag"], 0.055, among=t["sex"] == "female")
    near(t["hbv_dna_iu_ml"] >= 20, 0.35, among=t["hbsag"])
    near(t["anti_hbc"], 0.35)
    near(t["anti_hcv"], 0.006)
    near(t["hcv_rna_detected"], 0.004)
    near(t["hiv"], 0.001)
    near(t["aids_history"], 0.0005)
    near(t["months_since_hav_igm_positive"] <= 6, 0.0002)
    long_term = (t["nonsteroid_is_days"] >= 28) | ((t["steroid_days"] >= 28) & (t["steroid_mg_day_mean"] > 15))
    near(long_term | t["aids_history"], 0.015)
    near(t["severe_allergy"], 0.01)


def test_transplant(t):
    near(t["hsct"], 0.35, among=t["n_relapses"] > 0)
    near(t["hsct"], 0.05, among=t["n_relapses"] == 0)
    near(t["hsct_type"] == "allogeneic", 0.95, among=t["hsct"])
    near(t["days_since_immunosuppressant"] < 42, 0.40, among=t["hsct"])
    near(t["gvhd_active"], 0.20, among=t["hsct"])
    near(t["gvhd_ever"], 0.45, among=(t["hsct_type"] == "allogeneic").fillna(False))


def test_spearman_correlations_follow_the_copula(registry):
    latent = registry.latent().rename(columns={"age_exact_years": "age"})  # raw values: limits differ between the sexes
    ranks = latent[list(LATENT)].astype("float64").rank().corr().to_numpy()
    wanted = copula(registry.parameters).matrix
    for i, a in enumerate(LATENT):
        for j, b in enumerate(LATENT[:i]):
            spearman = 6 / np.pi * np.arcsin(wanted[i, j] / 2)
            # Five ECOG grades, sex and the multiplied component dilute it; they never turn it round.
            assert abs(ranks[i, j] - spearman) < 0.02 + 0.22 * abs(spearman), (a, b, ranks[i, j], spearman)
            assert wanted[i, j] == 0 or np.sign(ranks[i, j]) == np.sign(spearman), (a, b)


@pytest.mark.parametrize("name", [*ERASED, *BLURRED])
def test_missing_rates(registry, t, name):
    among = {
        "relapsed": t["n_relapses"] > 0, "heart_failure": t["heart_failure"], "no_heart_failure": ~t["heart_failure"],
        "cardiomyopathy": t["nonischemic_cardiomyopathy"], "hbsag": t["hbsag"],
        "core_only": t["anti_hbc"] & ~t["hbsag"],
        "hbv_negative": ~t["anti_hbc"], "anti_hcv": t["anti_hcv"], "childbearing": t["childbearing_potential"],
        "female": t["sex"] == "female", "hsct": t["hsct"], "allogeneic": (t["hsct_type"] == "allogeneic").fillna(False),
        "": t["hsct"].notna(),
    }  # fmt: skip
    holes = registry.holes.reset_index(drop=True)
    has_it = among["relapsed"] & ~holes[BLURRED[name]] if name in BLURRED else among[ERASED[name][1]]
    near(holes[name], registry_holes(registry.parameters)[name].rate, among=has_it)
    assert not holes[name][~has_it.astype(bool)].any()


def test_tests_are_ordered_for_candidates(registry, t):
    missing = registry.holes.reset_index(drop=True)["cd3"]
    assert missing[t["age_years"] > 70].mean() > missing[t["age_years"] <= 70].mean() + 0.2
    assert missing[t["ecog"] > 2].mean() > missing[t["ecog"] <= 2].mean() + 0.2


# The specification's reference funnel. Why each differs from ours is argued at the top of aml_registry.toml.
REFERENCE = {  # clause: (specification, ours on 1,000,000 patients)
    "I1": (0.72, 0.7244), "I3": (0.87, 0.8700), "I4": (0.88, 0.8979), "I5": (0.40, 0.3970), "E1": (0.83, 0.8286),
    "E2": (0.985, 0.9851), "E3": (0.943, 0.9450), "E4": (0.998, 0.9981), "E5": (0.945, 0.9420), "E7": (0.87, 0.8700),
}  # fmt: skip


def shares(cohort):
    screening = screen(cohort, load_trial("NCT06642025").without("planned_drug_allergy"), check=False)
    return screening, (screening.status.value_counts() / len(cohort)).to_dict()


def test_funnel_with_complete_data(registry):
    screening, status = shares(registry.truth)
    for clause, (reference, ours) in REFERENCE.items():
        passed = screening.passes[[c for c in screening.passes if c.split(".")[0] == clause]].all(axis=1)
        near(passed, ours)
        assert abs(ours - reference) < 0.02
    near(screening.status == "eligible", 0.1634)
    assert "undetermined" not in status


@pytest.mark.parametrize(
    ("profile", "eligible", "undetermined"), [("cn_tertiary", 0.0210, 0.2122), ("reference_funnel", 0.0306, 0.2014)]
)
def test_funnel_with_holes(profile, eligible, undetermined):
    screening, _ = shares(synthetic_registry(N // 2, seed=12, parameters=profile).observed)
    near(screening.status == "eligible", eligible)
    near(screening.status == "undetermined", undetermined)
