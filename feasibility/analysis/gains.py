"""How sure a gain is: its interval, its share of today's count, and the winner's curse of the best of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from feasibility.errors import FeasibilityError, did_you_mean

OBJECTIVES = ("possible", "confirmed")
RESAMPLES = 200
SEED = 20240901
WORTH_NAMING = 0.05
"""A set that ranks first in fewer resamples than this is not named as a rival of the best."""


def gain_interval(gained, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The exact Poisson interval of a number of gained patients: (low, high), in patients.

    The gain is exact for this extract; the interval says what another extract of the same size from the same source
    could show. It is pointwise, and it rests on the gained patients alone: the counts before and after are nested,
    so the difference of two proportions would be wrong. ``gained`` is one count or many.

    Source: Garwood 1936. Raises FeasibilityError for a level outside 0 to 1 and for a negative count.

    >>> low, high = gain_interval(14)
    >>> f"{low:.2f} to {high:.2f}"
    '7.65 to 23.49'
    """
    from scipy.special import gammaincinv

    gained, tail = np.asarray(gained, dtype=float), _tail(level)
    if (gained < 0).any():
        raise FeasibilityError(f"A gain is a number of patients, 0 or more; got {gained.min():g}.")
    low = np.where(gained > 0, gammaincinv(np.maximum(gained, 1), tail), 0.0)
    return low, gammaincinv(gained + 1, 1 - tail)


def relative_gain(gained, base, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A gain as a share of the patients there are without it: (share, low, high); 0.35 means 35 % more.

    The interval follows from the exact (Clopper-Pearson) one of gained / (base + gained). With nobody to begin with
    the share has no meaning: share and low end are NaN, the high end infinite.

    >>> share, low, high = relative_gain(14, 40)
    >>> f"+{share:.1%}, {low:.1%} to {high:.1%}"
    '+35.0%, 17.6% to 65.7%'
    """
    from scipy.special import betaincinv

    gained, base = np.broadcast_arrays(np.asarray(gained, dtype=float), np.asarray(base, dtype=float))
    tail, some = _tail(level), base > 0
    if (gained < 0).any() or (base < 0).any():
        raise FeasibilityError("A gain and the count it is added to are numbers of patients, 0 or more.")
    low = np.where(gained > 0, betaincinv(np.maximum(gained, 1), base + 1, tail), 0.0)
    high = np.where(some, betaincinv(gained + 1, np.maximum(base, 1), 1 - tail), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(some, gained / base, np.nan)
        return share, np.where(some, low / (1 - low), np.nan), np.where(some, high / (1 - high), np.inf)


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise FeasibilityError(f"level is {level!r}; an interval holds a share between 0 and 1, for example 0.95.")
    return (1 - level) / 2


def resampled(weights: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Counts as observed (first column) and Poisson resamples of them (the others): (groups, 1 + resamples).

    Resampling counted groups is resampling the patients behind them, without a patient.
    """
    if resamples < 0:
        raise FeasibilityError(f"resamples is {resamples}; it is 0 (no correction) or more.")
    draws = np.random.default_rng(seed).poisson(weights[:, None], (len(weights), resamples))
    return np.concatenate([weights[:, None], draws], axis=1).astype(np.int64)


def optimism(shown: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """By how much the best of many is overstated, one number a rank.

    ``shown`` holds, per rank and resample, the gain of the set that took this rank in the resample, ``observed`` what
    that same set gains in the extract itself: the resample stands to the extract as the extract to its source.
    """
    return (shown - observed).mean(axis=1) if shown.shape[1] else np.full(len(shown), np.nan)


def remarks(waived: Sequence[tuple], first: np.ndarray) -> list[str]:
    """What may be said about each set, given how often it ranks first; the first of ``waived`` is the best here."""
    if not len(waived) or np.isnan(first[0]):
        return [""] * len(waived)
    rivals = [i for i in np.argsort(-first, kind="stable") if i and first[i] >= WORTH_NAMING][:3]
    said = [""] * len(waived)
    if first[0] >= 0.5:
        return said
    named = "; ".join(f"{spell(waived[i])} (first in {first[i]:.0%})" for i in rivals)
    said[0] = f"first in only {first[0]:.0%} of resamples; cannot be told apart from " + (named or "many others")
    for i in rivals:
        said[i] = f"cannot be told apart from {spell(waived[0])}"
    return said


def spell(waived: Sequence[str]) -> str:
    """The criteria of a set, as one says them."""
    return " + ".join(waived)


def intervals(table: dict, name: str, gains, level: float) -> dict:
    """``table`` with the gain and its interval, under ``gain_<name>``, ``<name>_low`` and ``<name>_high``."""
    low, high = gain_interval(gains, level)
    return table | {f"gain_{name}": np.asarray(gains), f"{name}_low": low, f"{name}_high": high}


def check_objective(objective: str) -> None:
    if objective not in OBJECTIVES:
        raise FeasibilityError(f"objective is {objective!r}.{did_you_mean(objective, OBJECTIVES)}")


def mark_internal(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """A patient-level table with its warning in the first column, so that every copy and file of it says so."""
    table = table.copy()
    table.insert(0, "marking", INTERNAL)
    table.attrs["internal"] = f"{what}: one row a patient. {INTERNAL}."
    return table


INTERNAL = "INTERNAL: patient-level, must not leave the hospital"
