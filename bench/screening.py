"""Screening and pattern counting of the seed trial: ours, naive pandas, Polars with the same criterion functions.

Naive pandas is what an analyst writes first, ``df = df[mask]`` on two-valued columns, where a missing value fails an
inclusion and passes an exclusion. It gives a funnel only, and a wrong one; the table says how wrong.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

import feasibility as fz
from bench.timing import interleaved, table
from feasibility.bounded import UPPER, Range
from feasibility.patterns import count, pack


def naive_columns(cohort: pd.DataFrame) -> pd.DataFrame:
    """The cohort as a plain pandas user holds it: float64 with NaN, bool with missing as False, object text."""
    plain = {}
    for name in cohort.columns:
        column = cohort[name]
        if column.dtype == "boolean":
            plain[name] = column.to_numpy(dtype=bool, na_value=False)
        elif pd.api.types.is_numeric_dtype(column.dtype):
            plain[name] = column.to_numpy(dtype=float, na_value=np.nan)
        else:
            plain[name] = column.to_numpy(dtype=object, na_value=None)
    return pd.DataFrame(plain)


def naive_funnel(df: pd.DataFrame) -> list[int]:
    """The seed trial's default readings, one filter after the other."""
    n = [len(df)]

    def keep(mask):
        nonlocal df
        df = df[mask(df)]
        n.append(len(df))

    keep(lambda d: d.aml_subtype == "aml_non_apl")
    remission = ["CR_MRDneg", "CR", "CRh", "CRi"]
    keep(
        lambda d: (
            ((d.n_induction_courses >= 2) & ~d.cr_ever)
            | ((d.n_relapses >= 1) & (d.months_from_cr_to_relapse <= 12) & (d.n_consolidation_courses >= 1))
            | (
                (d.n_relapses >= 1)
                & (d.months_from_cr_to_relapse > 12)
                & (d.n_salvage_courses >= 1)
                & ~d.best_response_salvage.isin(remission)
            )
            | (d.n_relapses >= 2)
            | ((d.days_since_em_active <= 56) & d.em_active & (d.n_prior_courses >= 1))
        )
    )
    keep(lambda d: d.disease_status.isin(["primary_refractory", "relapsed", "active"]))
    keep(lambda d: (d.days_since_ecog <= 28) & (d.ecog <= 2))
    keep(lambda d: (d.age_years >= 18) & (d.age_years <= 70))
    keep(lambda d: (d.days_since_hemoglobin_g_l <= 14) & (d.hemoglobin_g_l > 60))
    keep(lambda d: (d.days_since_cd3_10e9_l <= 14) & (d.cd3_10e9_l > 0.5))
    keep(lambda d: (d.days_since_platelets_10e9_l <= 14) & (d.platelets_10e9_l > 30))
    keep(lambda d: ~d.childbearing_potential | ((d.days_since_pregnancy_test <= 14) & (d.pregnancy_test == "negative")))
    keep(lambda d: ~((d.months_since_hav_igm_positive <= 6) | (d.months_since_hepatitis_a <= 6)))
    keep(lambda d: ~(d.hbv_dna_iu_ml >= 20))
    keep(lambda d: ~d.hcv_rna_detected)
    keep(lambda d: ~d.hiv)
    keep(
        lambda d: (
            ~((d.days_since_active_infection <= 7) & d.active_infection & d.infection_severe & ~d.infection_controlled)
        )
    )
    keep(lambda d: ~d.aids_history)
    keep(lambda d: ~(((d.steroid_days >= 28) & (d.steroid_mg_day_mean > 15)) | (d.nonsteroid_is_days >= 28)))
    keep(lambda d: ~(d.heart_failure & (d.months_since_nyha_class <= 12) & (d.nyha_class > 2)))
    keep(lambda d: ~((d.months_since_mi <= 6) | (d.months_since_cabg <= 6)))
    keep(
        lambda d: (
            ~((d.months_since_ventricular_arrhythmia < math.inf) | (d.months_since_unexplained_syncope < math.inf))
        )
    )
    keep(
        lambda d: (
            ~(d.nonischemic_cardiomyopathy & (d.nonischemic_cardiomyopathy_severe | (d.lvef_lowest_ever_pct <= 35)))
        )
    )
    keep(lambda d: ~((d.days_since_lvef_min_pct <= 56) & (d.lvef_min_pct < 45)))
    keep(lambda d: ~(d.childbearing_potential & d.pregnant))
    keep(lambda d: ~(d.childbearing_potential & d.lactating))
    keep(lambda d: ~((d.ast_x_uln > 3) | (d.alt_x_uln > 3) | (d.bilirubin_x_uln > 3)))
    keep(lambda d: ~(d.creatinine_umol_l >= 178))
    keep(lambda d: ~d.severe_allergy)
    keep(lambda d: ~(d.hsct & ((d.days_since_immunosuppressant < 42) | d.gvhd_active)))
    return n


def polars_patterns(frame, protocol):
    """Patterns by Polars, running the very same criterion functions on its expressions."""
    import polars as pl

    columns = {}
    for name in protocol.reads:
        lower, has_upper = pl.col(name), name + UPPER in frame.columns
        if has_upper:
            lo, hi = lower.cast(pl.Float64), pl.col(name + UPPER).cast(pl.Float64)
            lower_end = pl.when(lo.is_null() & hi.is_not_null()).then(-math.inf).otherwise(lo)
            upper_end = pl.when(hi.is_null() & lo.is_not_null()).then(math.inf).otherwise(hi)
            columns[name] = Range(lower_end, upper_end)
        else:
            columns[name] = lower
    failed, unknown = pl.lit(0, dtype=pl.UInt32), pl.lit(0, dtype=pl.UInt32)
    for i, criterion in enumerate(protocol.assessable):
        nothing = {c: pl.lit(None, dtype=pl.Boolean) for c in criterion.columns if c not in columns}
        met = criterion.evaluate(columns | nothing)
        fails = met if criterion.kind == "exclusion" else ~met
        bit = pl.lit(1 << i, dtype=pl.UInt32)
        failed += pl.when(fails).then(bit).otherwise(pl.lit(0, dtype=pl.UInt32))
        unknown += pl.when(met.is_null()).then(bit).otherwise(pl.lit(0, dtype=pl.UInt32))
    return frame.lazy().select(f=failed, u=unknown).group_by("f", "u").len().collect()


def run(n: int = 1_000_000, rounds: int = 5) -> str:
    """The comparison as text; raises if ours and Polars disagree."""
    import polars as pl

    from feasibility.trials.aml_registry import synthetic_registry

    protocol = fz.load_trial("NCT06642025")
    cohort = synthetic_registry(n, seed=1).observed
    plain = naive_columns(cohort)
    frame = pl.from_pandas(cohort.reset_index(drop=True))
    seconds, answers = interleaved(
        {
            "ours: screen (unguarded) + patterns": lambda: fz.screen(cohort, protocol, check=False).patterns(),
            "ours: with the guard against holes": lambda: fz.screen(cohort, protocol).patterns(),
            "naive pandas, funnel only, wrong": lambda: naive_funnel(plain),
            "Polars, same functions": lambda: polars_patterns(frame, protocol),
        },
        rounds,
    )
    ours = answers["ours: screen (unguarded) + patterns"]
    theirs = answers["Polars, same functions"]
    k = len(protocol)
    again = count(
        ours.labels,
        pack([(theirs["f"].to_numpy() >> i) & 1 == 1 for i in range(k)], len(theirs)),
        pack([(theirs["u"].to_numpy() >> i) & 1 == 1 for i in range(k)], len(theirs)),
        weights=theirs["len"].to_numpy(),
    )
    if (
        not ours.to_frame()
        .sort_values(ours.ids + ["n"])
        .reset_index(drop=True)
        .equals(again.to_frame().sort_values(ours.ids + ["n"]).reset_index(drop=True))
    ):
        raise AssertionError("ours and Polars count different patterns")
    naive = answers["naive pandas, funnel only, wrong"][-1]
    lines = [
        table(f"Screening {n:,} patients, {k} criteria (medians of {rounds} interleaved rounds)", seconds,
              "ours: screen (unguarded) + patterns"),
        f"  {len(ours):,} patterns; ours and Polars agree on every one.",
        f"  confirmed {ours.n_confirmed:,}, possible {ours.n_possible:,}; naive pandas reports {naive:,} eligible:"
        f" {abs(naive - ours.n_confirmed):,} off confirmed ({naive / max(1, ours.n_confirmed):.1f} x).",
    ]  # fmt: skip
    return "\n".join(lines)
