"""Screening and pattern counting of the seed trial: ours, pandas, Polars and DuckDB with the same criterion functions.

Naive pandas is what an analyst writes first, ``df = df[mask]`` on two-valued columns, where a missing value fails an
inclusion and passes an exclusion. It gives a funnel only, and a wrong one; the table says how wrong.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd

import feasibility as fz
from bench.timing import extra_peak, interleaved, table
from feasibility.bounded import UPPER, Range
from feasibility.engine.blocks import Pandas, count_codes, statuses
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


def duckdb_patterns(table, protocol):
    """Patterns counted by DuckDB, the same functions compiled to SQL."""
    return fz.count_patterns(table, protocol)


def floor(prepared) -> int:
    """Read every byte of the prepared columns once."""
    total = 0
    for one in prepared.stored.values():
        for array in (one.lower, one.upper, one.other):
            if array is not None:
                words = array.view(np.uint8)[: array.nbytes // 8 * 8].view(np.uint64)
                total ^= int(np.bitwise_or.reduce(words))
    return total


def kleene_masks(cohort, protocol):
    """Every criterion on whole nullable pandas columns, then counted: what a careful pandas user would write."""
    codes, _ = statuses(Pandas(cohort, protocol.reads), protocol.assessable, small=len(cohort))
    return count_codes(codes)


def registry(n: int) -> pd.DataFrame:
    """``n`` synthetic patients, the columns the seed trial reads."""
    from feasibility.trials.aml_registry import synthetic_registry

    protocol = fz.load_trial("NCT06642025")
    cohort = synthetic_registry(n, seed=1).observed
    return cohort[[c for c in cohort.columns if c.removesuffix(UPPER) in protocol.reads]]


def run(n: int = 1_000_000, rounds: int = 5) -> str:
    """The comparison as text; raises if two contenders that should agree do not."""
    import ibis
    import polars as pl

    protocol = fz.load_trial("NCT06642025")
    cohort = registry(n)
    plain = naive_columns(cohort)
    start = time.perf_counter()
    prepared = fz.prepare(cohort, protocol.columns)
    preparing = time.perf_counter() - start
    frame = pl.from_pandas(cohort.reset_index(drop=True))
    con = ibis.duckdb.connect()
    con.raw_sql("SET enable_progress_bar = false")
    in_duckdb = con.create_table("cohort", frame.to_arrow())
    base = "prepared cohort -> patterns"
    contenders = {
        "floor: read the prepared bytes once": lambda: floor(prepared),
        base: lambda: fz.count_patterns(prepared, protocol, check=False),
        "raw pandas columns -> patterns": lambda: fz.screen(cohort, protocol, check=False).patterns(),
        "the same with the guard against holes": lambda: fz.screen(cohort, protocol).patterns(),
        "Polars, same functions": lambda: polars_patterns(frame, protocol),
        "DuckDB, same functions": lambda: duckdb_patterns(in_duckdb, protocol),
        "pandas Kleene masks": lambda: kleene_masks(cohort, protocol),
        "naive pandas, funnel only, wrong": lambda: naive_funnel(plain),
    }
    seconds, answers = interleaved(contenders, rounds)
    ours, k = answers[base], len(protocol)
    theirs = answers["Polars, same functions"]
    polars = count(
        ours.labels,
        pack([(theirs["f"].to_numpy() >> i) & 1 == 1 for i in range(k)], len(theirs)),
        pack([(theirs["u"].to_numpy() >> i) & 1 == 1 for i in range(k)], len(theirs)),
        weights=theirs["len"].to_numpy(),
    )
    others = {"Polars": polars, "DuckDB": answers["DuckDB, same functions"],
              "pandas columns": answers["raw pandas columns -> patterns"]}  # fmt: skip
    for name, other in others.items():
        if not _tidy(ours).equals(_tidy(other)):
            raise AssertionError(f"ours and {name} count different patterns")
    naive = answers["naive pandas, funnel only, wrong"][-1]
    peak = {name: f"+{extra_peak(contenders[name]):,.0f} MB" for name in contenders}
    lines = [
        table(f"Screening {n:,} patients, {k} criteria (medians of {rounds} interleaved rounds)", seconds, base, peak),
        f"  preparing took {preparing:.2f} s; {prepared.nbytes / n:.0f} bytes a patient.",
        f"  {len(ours):,} patterns; prepared, pandas, Polars and DuckDB agree on every one.",
        f"  confirmed {ours.n_confirmed:,}, possible {ours.n_possible:,}; naive pandas reports {naive:,} eligible:"
        f" {abs(naive - ours.n_confirmed):,} off confirmed ({naive / max(1, ours.n_confirmed):.1f} x).",
    ]
    return "\n".join(lines)


def _tidy(patterns) -> pd.DataFrame:
    return patterns.to_frame().sort_values([*patterns.ids, "n"]).reset_index(drop=True)
