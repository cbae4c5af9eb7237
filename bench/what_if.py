"""What-if questions on the seed trial, the screen already done: ours against Polars and against a full screen.

Polars' scenarios come in two forms. "same functions" runs the very criterion functions on its expressions; "tuned" is
what an expert would write for this protocol by hand: values too old are nulled once, beforehand and untimed, so that a
scenario is one comparison a threshold. Both start from rows already reduced by what was screened and by the loosest
scenario. Its curve comes in two forms as well: filtering on the rest evaluated from the columns, or on masks kept from
a screening. Ours starts from a ``WhatIf`` whose columns are ready; "first time" has nothing else kept, "again" has
followed the threshold before.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pandas as pd

import feasibility as fz
from bench.timing import interleaved
from feasibility.analysis.batch import batch
from feasibility.analysis.curve import curve, curve_at
from feasibility.analysis.sweep import surface
from feasibility.analysis.what_if import WhatIf
from feasibility.bounded import UPPER, Range

# threshold: (criterion, value column, age column, its look-back, comparison that passes)
OWN = {
    "min_hemoglobin": ("I5.1", "hemoglobin_g_l", "days_since_hemoglobin_g_l", 14, "gt"),
    "min_platelets": ("I5.3", "platelets_10e9_l", "days_since_platelets_10e9_l", 14, "gt"),
    "min_cd3": ("I5.2", "cd3_10e9_l", "days_since_cd3_10e9_l", 14, "gt"),
    "max_age": ("I4", "age_years", None, None, "le"),
    "max_ecog": ("I3", "ecog", "days_since_ecog", 28, "le"),
    "max_creatinine": ("E5.2", "creatinine_umol_l", "days_since_creatinine_umol_l", 14, "lt"),
    "max_hbv_dna": ("E1.2", "hbv_dna_iu_ml", None, None, "lt"),
    "min_lvef": ("E3.5", "lvef_min_pct", "days_since_lvef_min_pct", 56, "ge"),
}


def scenarios(n: int = 1000, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "min_hemoglobin": rng.uniform(50, 90, n), "min_platelets": rng.uniform(10, 100, n),
            "min_cd3": rng.uniform(0.1, 1.0, n), "max_age": rng.integers(60, 85, n),
            "max_ecog": rng.integers(0, 4, n), "max_creatinine": rng.uniform(100, 250, n),
            "max_hbv_dna": rng.uniform(10, 2000, n), "min_lvef": rng.uniform(35, 60, n),
        }
    )  # fmt: skip


def patients(n: int, protocol) -> pd.DataFrame:
    """Synthetic patients, made a million at a time, with the columns that the trial reads."""
    from feasibility.trials.aml_registry import registry_blocks

    parts, made = [], 0
    for block in registry_blocks(n, seed=1):
        observed = block.observed
        parts.append(observed[[c for c in observed.columns if c.removesuffix(UPPER) in protocol.reads]])
        made += len(observed)
    cohort = pd.concat(parts)
    cohort.index = pd.RangeIndex(made, name="patient_id")
    return cohort


class PolarsSide:
    """Polars with everything a screening knows: rows and masks of who fails and satisfies the rest."""

    def __init__(self, cohort, protocol, screening):
        import polars as pl

        self.pl, self.protocol = pl, protocol
        ids = [label.id for label in screening.labels]
        needed = [c for name in protocol.reads for c in (name, name + UPPER) if c in cohort.columns]
        frame = pl.from_pandas(cohort[needed].reset_index(drop=True))
        own = np.uint64(sum(1 << ids.index(one[0]) for one in OWN.values()))
        failed, unknown = screening.failed[:, 0], screening.unknown[:, 0]
        self.raw = frame
        hb = np.uint64(1 << ids.index("I5.1"))
        self.whole = frame.with_columns(
            hb_rest=pl.Series((failed & ~hb) == 0), hb_sure=pl.Series(((failed | unknown) & ~hb) == 0)
        )
        self.reduced = frame.with_columns(rest_ok=pl.Series(((failed | unknown) & ~own) == 0)).filter(
            pl.Series((failed & ~own) == 0)
        )

    def tune(self, table: pd.DataFrame) -> None:
        """Null what is too old, and keep the rows that the loosest scenario leaves in."""
        pl = self.pl
        columns = {}
        for name, (_, value, age, limit, _how) in OWN.items():
            fresh = pl.col(value).cast(pl.Float64)
            columns[name] = fresh if age is None else pl.when(pl.col(age) <= limit).then(fresh)
        upper = pl.col("cd3_10e9_l" + UPPER).cast(pl.Float64).fill_null(pl.col("cd3_10e9_l"))
        columns["min_cd3_upper"] = pl.when(pl.col("days_since_cd3_10e9_l") <= 14).then(upper)
        old_enough = pl.col("age_years") >= 18
        tuned = self.reduced.select(rest_ok=pl.col("rest_ok") & old_enough.fill_null(False), **columns)
        loosest = {k: (table[k].min() if k.startswith("min") else table[k].max()).item() for k in table}
        alive = [self._tuned_pass(k + "_upper" * (k == "min_cd3"), v).fill_null(True) for k, v in loosest.items()]
        keep = tuned.select(alive=pl.all_horizontal(alive))["alive"]
        keep &= self.reduced.select(old=old_enough.fill_null(True))["old"]
        self.tuned, self.narrow = tuned.filter(keep), self.reduced.filter(keep)

    def _tuned_pass(self, name, value):
        return getattr(self.pl.col(name), OWN[name.removesuffix("_upper")][4])(value)

    def _same_pass(self, name, value):
        criterion = self.protocol[OWN[name][0]]
        columns = {c: self.pl.col(c) for c in criterion.columns}
        if name == "min_cd3":
            columns["cd3_10e9_l"] = Range(
                self.pl.col("cd3_10e9_l"), self.pl.col("cd3_10e9_l" + UPPER).fill_null(self.pl.col("cd3_10e9_l"))
            )
        met = criterion.evaluate(columns, **{name: value})
        return met if criterion.kind == "inclusion" else ~met

    def many(self, table: pd.DataFrame, tuned: bool, at_once: int = 50) -> pd.DataFrame:
        """Both counts of many scenarios, in batches of one query each."""
        pl, made = self.pl, []
        frame, passes = (self.tuned, self._tuned_pass) if tuned else (self.narrow, self._same_pass)
        records = table.to_dict(orient="records")
        for start in range(0, len(records), at_once):
            asked = []
            for i, record in enumerate(records[start : start + at_once]):
                every = None
                for name, value in record.items():
                    if not (tuned and name == "min_cd3"):
                        one = passes(name, value)
                        every = one if every is None else every & one
                surely, maybe = every, every
                if tuned:  # a bounded value: its lower end confirms, its upper end keeps possible
                    surely = every & passes("min_cd3", record["min_cd3"])
                    maybe = every & passes("min_cd3_upper", record["min_cd3"])
                asked.append((surely & pl.col("rest_ok")).sum().alias(f"c{i}"))
                asked.append(maybe.fill_null(True).sum().alias(f"p{i}"))
            made += np.array(frame.lazy().select(asked).collect().row(0)).reshape(-1, 2).tolist()
        return pd.DataFrame(made, columns=["n_confirmed", "n_possible"], index=table.index)

    def masks(self, but: str):
        """Who fails none of the other criteria and who satisfies all, evaluated from the columns."""
        pl, possible, sure = self.pl, [], []
        for criterion in self.protocol.assessable:
            if criterion.id == but:
                continue
            columns = {}
            for name in criterion.columns:
                if name + UPPER in self.raw.columns:
                    low, high = pl.col(name), pl.col(name + UPPER)
                    columns[name] = Range(
                        pl.when(low.is_null() & high.is_not_null()).then(-np.inf).otherwise(low),
                        pl.when(high.is_null() & low.is_not_null()).then(np.inf).otherwise(high),
                    )
                else:
                    known = name in self.raw.columns
                    columns[name] = pl.col(name) if known else pl.lit(None, dtype=pl.Boolean)
            met = criterion.evaluate(columns)
            passes = met if criterion.kind == "inclusion" else ~met
            possible.append(passes.fill_null(True))
            sure.append(passes.fill_null(False))
        return pl.all_horizontal(possible), pl.all_horizontal(sure)

    def curve_from_columns(self):
        rest, sure = self.masks("I5.1")
        return self.curve(self.raw.lazy().with_columns(hb_rest=rest, hb_sure=sure))

    def curve(self, whole=None):
        """Every value of haemoglobin at which a count changes: filter on the rest, group by value, cumulative sum."""
        pl = self.pl
        fresh = pl.when(pl.col("days_since_hemoglobin_g_l") <= 14).then(pl.col("hemoglobin_g_l"))
        return (
            (self.whole.lazy() if whole is None else whole)
            .filter(pl.col("hb_rest")).select(v=fresh, sure=pl.col("hb_sure"))
            .group_by("v").agg(possible=pl.len(), confirmed=pl.col("sure").sum())
            .sort("v", descending=True, nulls_last=False).with_columns(pl.col("possible").cum_sum())
            .with_columns(confirmed=pl.when(pl.col("v").is_null()).then(0).otherwise(pl.col("confirmed")).cum_sum())
            .collect()
        )  # fmt: skip


def run(n: int = 1_000_000, rounds: int = 5, *, polars_scenarios: int = 1000) -> str:
    """The comparison as text; raises if two sides disagree."""
    protocol = fz.load_trial("NCT06642025")
    cohort = patients(n, protocol)
    start = time.perf_counter()
    screening = fz.screen(cohort, protocol, check=False)
    screened = time.perf_counter() - start
    what_if = WhatIf(cohort, protocol, screening=screening)
    start = time.perf_counter()
    what_if.prepare()
    ready = time.perf_counter() - start
    polars = PolarsSide(cohort, protocol, screening)
    table = scenarios()
    polars.tune(table)
    grid = {"min_platelets": np.linspace(5, 100, 100), "min_cd3": np.linspace(0.1, 1.0, 100)}
    both = {"min_hemoglobin": np.linspace(50, 100, 100), "max_days_since_hemoglobin": np.arange(100)}
    moves = iter(np.linspace(5.01, 99.01, 10 * rounds + 10))
    few = table.head(min(polars_scenarios, len(table)))

    def slide():
        return what_if.attrition({"min_platelets": float(next(moves))})

    seconds, answers = interleaved(
        {
            "full screen, unguarded": lambda: fz.screen(cohort, protocol, check=False).patterns(),
            "exact curve, ours, again": lambda: curve(what_if, "min_hemoglobin"),
            "exact curve, Polars, masks of the screen": polars.curve,
            "exact curve, Polars, from the columns": polars.curve_from_columns,
            "surface 100 x 100, ours, again": lambda: surface(what_if, **grid),
            "surface 100 x 100, one criterion, ours": lambda: surface(what_if, **both),
            "1,000 scenarios, ours, again": lambda: batch(what_if, table),
            "slider move with its funnel, ours": slide,
        },
        rounds,
    )
    # Apart from the others, because they throw away what the others have kept.
    cold, _ = interleaved(
        {
            "exact curve, ours, first time": lambda: (what_if.forget(), curve(what_if, "min_hemoglobin")),
            "surface 100 x 100, ours, first time": lambda: (what_if.forget(), surface(what_if, **grid)),
            "1,000 scenarios, ours, first time": lambda: (what_if.forget(), batch(what_if, table)),
        },
        rounds,
    )
    seconds |= cold
    # The slow sides run once or twice: minutes otherwise.
    for name, tuned, times in (("tuned", True, min(rounds, 2)), ("same functions", False, 1)):
        took = []
        for _ in range(times):
            start = time.perf_counter()
            asked = few if tuned else few.head(max(1, len(few) // 5))
            answers[name] = polars.many(asked, tuned)
            took.append((time.perf_counter() - start) * len(table) / len(asked))
        seconds[f"1,000 scenarios, Polars, {name}"] = statistics.median(took)
    _agree(what_if, answers, table)
    return _report(n, rounds, seconds, screened, ready, polars)


def _agree(what_if, answers, table) -> None:
    ours = answers["1,000 scenarios, ours, again"]
    for name in ("tuned", "same functions"):
        theirs = answers[name]
        if not (ours.to_numpy()[: len(theirs)] == theirs.to_numpy()).all():
            raise AssertionError(f"ours and Polars ({name}) count different patients")
    for row in range(0, len(table), 100):
        if tuple(what_if.counts(table.iloc[row].to_dict())) != tuple(ours.iloc[row]):
            raise AssertionError("the batch and a single evaluation differ")
    for name in ("masks of the screen", "from the columns"):
        theirs = answers[f"exact curve, Polars, {name}"].drop_nulls("v")
        below = curve_at(answers["exact curve, ours, again"], np.nextafter(theirs["v"].to_numpy(), -np.inf))
        if not (below.to_numpy() == theirs.select("confirmed", "possible").to_numpy()).all():
            raise AssertionError(f"ours and Polars ({name}) draw different curves")


def _report(n, rounds, seconds, screened, ready, polars) -> str:
    width = max(map(len, seconds))
    lines = [f"What-if on {n:,} patients (medians of {rounds} interleaved rounds; Polars' scenarios once or twice)"]
    lines += [f"  {name:{width}}  {1000 * t:10.1f} ms" for name, t in seconds.items()]

    def ratio(what, one, other, goal=""):
        return what, seconds[one] / seconds[other], goal

    curve_, many, screen = "exact curve, ", "1,000 scenarios, ", "full screen, unguarded"
    ratios = [
        ratio("curve: Polars from the columns / ours, again", curve_ + "Polars, from the columns",
              curve_ + "ours, again", "at least 5"),
        ratio("curve: Polars from the columns / ours, first time", curve_ + "Polars, from the columns",
              curve_ + "ours, first time"),
        ratio("curve: Polars with masks kept / ours, again", curve_ + "Polars, masks of the screen",
              curve_ + "ours, again"),
        ratio("surface / full screen, again", "surface 100 x 100, ours, again", screen, "below 1"),
        ratio("surface / full screen, first time", "surface 100 x 100, ours, first time", screen, "below 1"),
        ratio("surface of one criterion / full screen", "surface 100 x 100, one criterion, ours", screen, "below 1"),
        ratio("scenarios: Polars, same functions / ours, again", many + "Polars, same functions",
              many + "ours, again", "at least 20"),
        ratio("scenarios: Polars, same functions / ours, first time", many + "Polars, same functions",
              many + "ours, first time"),
        ratio("scenarios: Polars tuned by hand / ours, again", many + "Polars, tuned", many + "ours, again"),
        ratio("slider move / full screen", "slider move with its funnel, ours", screen, "below 0.2"),
    ]  # fmt: skip
    lines += [f"  {what:{width + 12}}  {ratio:8.3f}  {goal}" for what, ratio, goal in ratios]
    lines.append(
        f"  Untimed above: the screen once {screened:.1f} s, getting columns ready once {ready:.1f} s;"
        f" rows left to Polars' scenarios {polars.tuned.height:,}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    sys.stdout.write(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000) + "\n")
