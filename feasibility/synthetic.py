"""Seeded synthetic patients: a Gaussian copula, marginals, and holes punched by named mechanisms.

Nothing here knows a disease. Patients are drawn in blocks, each variable from its own stream named after it, so that
patient k is the same whatever the number of patients, and a new variable never changes the others.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from feasibility.cohort.schema import STRING, CohortTable
from feasibility.errors import FeasibilityError, did_you_mean

BLOCK = 100_000
"""Patients per block. Part of the definition of the data: another size gives other patients."""


class SyntheticError(FeasibilityError):
    """A parameter of a synthetic registry is not as it should be."""


def blocks(n: int) -> Iterator[tuple[int, slice]]:
    """The number of each block and the rows it fills.

    >>> list(blocks(100_003))
    [(0, slice(0, 100000, None)), (1, slice(100000, 100003, None))]
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise SyntheticError(f"A synthetic registry needs a whole number of patients, at least 1; got {n!r}.")
    for k, start in enumerate(range(0, int(n), BLOCK)):
        yield k, slice(start, min(start + BLOCK, int(n)))


@dataclass(frozen=True)
class Draws:
    """Random numbers of one block: one independent stream per name, the first ``size`` of it."""

    seed: int
    block: int
    size: int

    def __post_init__(self):
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise SyntheticError(f"The seed must be a whole number, not negative; got {self.seed!r}.")

    def _stream(self, name: str) -> np.random.Generator:
        # crc32, not hash(): the same on every machine and in every process.
        return np.random.default_rng(np.random.SeedSequence([self.seed, zlib.crc32(name.encode()), self.block]))

    def uniform(self, name: str) -> np.ndarray:
        return self._stream(name).random(self.size)

    def normal(self, name: str, columns: int | None = None) -> np.ndarray:
        return self._stream(name).standard_normal(self.size if columns is None else (self.size, columns))

    def happens(self, name: str, probability) -> np.ndarray:
        """True with the given probability (one number, or one per patient)."""
        if np.min(probability) < 0 or np.max(probability) > 1 + 1e-12:
            raise SyntheticError(
                f"{name!r} would happen with probability {np.min(probability):g} to {np.max(probability):g}: "
                "two parameters contradict each other."
            )
        return self.uniform(name) < probability

    def code(self, name: str, probabilities) -> np.ndarray:
        """0, 1, 2, ... with the given probabilities."""
        return ordinal(self.uniform(name), probabilities)

    def whole(self, name: str, low: int, high: int, power: float = 1.0) -> np.ndarray:
        """Whole numbers from low to high; a power above 1 favours the low ones."""
        return low + np.floor((high - low + 1) * self.uniform(name) ** power)


# Marginals: from a standard normal or uniform number to a value.


def ordinal(u: np.ndarray, probabilities) -> np.ndarray:
    """Codes 0, 1, 2, ... by cutting the unit interval.

    >>> ordinal(np.array([0.1, 0.5, 0.95]), [0.3, 0.6, 0.1]).tolist()
    [0, 1, 2]
    """
    probabilities = np.asarray(probabilities, dtype=float)
    if (probabilities < 0).any() or abs(probabilities.sum() - 1) > 1e-9:
        raise SyntheticError(f"Probabilities must add up to 1; got {probabilities.tolist()}.")
    return np.searchsorted(probabilities.cumsum()[:-1], u, side="right").astype(np.int8)


def normal_cdf(z):
    from scipy.special import ndtr

    return ndtr(z)


def truncated_normal(u: np.ndarray, mean, sd, low, high) -> np.ndarray:
    """Normal within [low, high], by inversion: ``u`` is uniform."""
    from scipy.special import ndtr, ndtri

    a, b = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    return np.clip(mean + sd * ndtri(a + u * (b - a)), low, high)


def lognormal(z: np.ndarray, median, sigma) -> np.ndarray:
    """Log-normal by its median: ``z`` is standard normal."""
    return median * np.exp(sigma * z)


def truncated_lognormal(u: np.ndarray, median, sigma, low, high) -> np.ndarray:
    return np.exp(truncated_normal(u, np.log(median), sigma, np.log(low), np.log(high)))


@dataclass(frozen=True)
class Copula:
    """Standard normal numbers with given correlations.

    ``repaired`` is the largest change that was needed to make the matrix positive definite: 0 when it already was.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    repaired: float

    @classmethod
    def from_pairs(cls, names, pairs: Mapping[str, float]) -> Copula:
        """``pairs`` maps "a b" to a correlation; pairs that are not given have none."""
        names = tuple(names)
        matrix = np.eye(len(names))
        for pair, value in pairs.items():
            unknown = [name for name in pair.split() if name not in names]
            if unknown or len(pair.split()) != 2 or not -1 < value < 1:
                raise SyntheticError(f"Correlation {pair!r} = {value!r}: write two of {', '.join(names)}, and -1 to 1.")
            i, j = (names.index(name) for name in pair.split())
            matrix[i, j] = matrix[j, i] = value
        values, vectors = np.linalg.eigh(matrix)
        if values.min() > 1e-8:
            return cls(names, matrix, 0.0)
        fixed = (vectors * np.maximum(values, 1e-6)) @ vectors.T
        scale = np.sqrt(np.diag(fixed))
        fixed = fixed / np.outer(scale, scale)
        return cls(names, fixed, float(np.abs(fixed - matrix).max()))

    def draw(self, draws: Draws, stream: str = "copula") -> dict[str, np.ndarray]:
        z = draws.normal(stream, len(self.names)) @ np.linalg.cholesky(self.matrix).T
        return dict(zip(self.names, np.ascontiguousarray(z.T), strict=True))


# Parameters: a TOML file where every number has a source and a note.


@dataclass(frozen=True)
class Parameters:
    """Named numbers ("age.mean"), each with its source and a note; hashed by value."""

    profile: str
    values: Mapping[str, Any]
    notes: Mapping[str, tuple[str, str]] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __hash__(self):
        return hash(self.fingerprint())

    def __eq__(self, other):
        return isinstance(other, Parameters) and self.fingerprint() == other.fingerprint()

    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(dict(self.values), sort_keys=True).encode()).hexdigest()[:16]

    def section(self, name: str) -> dict[str, Any]:
        """Every parameter below a dotted prefix, without the prefix."""
        return {k[len(name) + 1 :]: v for k, v in self.values.items() if k.startswith(name + ".")}

    def replace(self, changes: Mapping[str, Any]) -> Parameters:
        """The same with some values changed; an unknown name is an error."""
        for name, value in changes.items():
            if name not in self.values:
                raise SyntheticError(f"There is no parameter {name!r}.{did_you_mean(name, self.values)}")
            old = self.values[name]
            if isinstance(old, (int, float)) != isinstance(value, (int, float)):
                raise SyntheticError(f"Parameter {name!r} must be like {old!r}; got {value!r}.")
        return Parameters(self.profile, {**self.values, **changes}, self.notes)

    def table(self) -> pd.DataFrame:
        """One row a parameter: value, source, note."""
        rows = [(name, value, *self.notes[name]) for name, value in self.values.items()]
        return pd.DataFrame(rows, columns=["parameter", "value", "source", "note"]).set_index("parameter")


def load_parameters(path: Path, profile: str = "") -> Parameters:
    """Read a parameter file; ``profile`` names one of its ``[profiles]``, the first being the file as it stands."""
    with open(path, "rb") as file:
        tree = tomllib.load(file)
    profiles = tree.pop("profiles")
    values, notes = {}, {}
    _flatten("", tree, values, notes)
    profile = profile or next(iter(profiles))
    if profile not in profiles:
        raise SyntheticError(f"There is no profile {profile!r}.{did_you_mean(profile, profiles)}")
    changes, change_notes = {}, {}
    _flatten("", profiles[profile], changes, change_notes)
    return Parameters(profile, values, notes | change_notes).replace(changes)


def _flatten(prefix: str, table: Mapping, values: dict, notes: dict) -> None:
    """A table with a source is a parameter, or several that share it; any other holds tables."""
    if "source" in table:
        note = (table["source"], table["note"])
        for key in table.keys() - {"source", "note"}:
            name = prefix if key == "value" else f"{prefix}.{key}"
            values[name], notes[name] = table[key], note
        return
    for key, inner in table.items():
        _flatten(f"{prefix}.{key}" if prefix else key, inner, values, notes)


# Holes.


MECHANISMS = ("mcar", "mar", "mnar")


@dataclass(frozen=True)
class Hole:
    """How often and for whom a field is missing.

    ``mar`` and ``mnar`` map facts about the patient to log odds ratios: "mcar" uses none of them, "mar" only those
    the registry records, "mnar" also those it does not. The intercept is solved, so the share of missing fields is
    ``rate`` whatever the mechanism.
    """

    name: str
    rate: float
    mechanism: str = "mcar"
    mar: Mapping[str, float] = field(default_factory=dict)
    mnar: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        if self.mechanism not in MECHANISMS:
            raise SyntheticError(f"Hole {self.name!r}: mechanism {self.mechanism!r} is not one of {MECHANISMS}.")
        if not 0 <= self.rate <= 1:
            raise SyntheticError(f"Hole {self.name!r}: the rate must lie between 0 and 1; got {self.rate!r}.")

    def score(self, facts: Mapping[str, np.ndarray], size: int) -> np.ndarray:
        drivers = dict(self.mar) if self.mechanism != "mcar" else {}
        drivers |= self.mnar if self.mechanism == "mnar" else {}
        score = np.zeros(size)
        for fact, log_odds in drivers.items():
            if fact not in facts:
                raise SyntheticError(f"Hole {self.name!r}: no fact {fact!r} is known.{did_you_mean(fact, facts)}")
            score += log_odds * facts[fact]
        return score

    def punch(self, draws: Draws, facts: Mapping[str, np.ndarray], intercept: float) -> np.ndarray:
        """True where the field is missing."""
        return draws.happens(f"missing {self.name}", expit(intercept + self.score(facts, draws.size)))

    def intercept(self, score: np.ndarray) -> float:
        """The intercept at which the mean probability over these patients is the rate."""
        if self.rate in (0, 1) or not len(score):
            return np.inf if self.rate == 1 else -np.inf
        from scipy.optimize import brentq

        # Drivers are mostly yes or no, so there are few distinct scores.
        distinct, counts = np.unique(score, return_counts=True)
        weights = counts / counts.sum()
        bound = 40 + np.abs(distinct).max()
        return brentq(lambda a: weights @ expit(a + distinct) - self.rate, -bound, bound)


def expit(x):
    return 0.5 * (1 + np.tanh(np.asarray(x) / 2))


# From arrays to the cohort's dtypes. In the arrays a missing cell is NaN (float) or -1 (whole numbers, flags, codes).


def empty_store(table: CohortTable, n: int) -> dict[str, np.ndarray]:
    """One compact array per declared column, all missing."""
    kinds = {
        "Float64": (np.nan, np.float64),
        "Int64": (-1, np.int32),
        "boolean": (-1, np.int8),
        "string": (-1, np.int8),
    }
    return {c.name: np.full(n, *kinds[c.dtype]) for c in table.columns}


def to_extension(values: np.ndarray, dtype: str, codes=()):
    """A pandas extension array of the declared dtype; ``codes`` are the texts behind the codes."""
    mask = np.isnan(values) if dtype == "Float64" else values < 0
    if dtype == "string":
        return _texts(np.array([*codes, pd.NA], dtype=object)[np.where(mask, len(codes), values)])
    if dtype == "Float64":
        return pd.arrays.FloatingArray(values, mask)
    if dtype == "Int64":
        return pd.arrays.IntegerArray(np.where(mask, 0, values).astype(np.int64), mask)
    return pd.arrays.BooleanArray(values > 0, mask)


def erase(array, missing: np.ndarray):
    """A copy of an extension array without these cells; nothing of them stays under the mask either."""
    mask = missing | np.asarray(array.isna())
    if isinstance(array, pd.arrays.FloatingArray):
        return pd.arrays.FloatingArray(np.where(mask, np.nan, array.to_numpy(float, na_value=np.nan)), mask)
    if isinstance(array, pd.arrays.IntegerArray):
        return pd.arrays.IntegerArray(np.where(mask, 0, array.to_numpy(np.int64, na_value=0)), mask)
    if isinstance(array, pd.arrays.BooleanArray):
        return pd.arrays.BooleanArray(array.to_numpy(bool, na_value=False) & ~mask, mask)
    texts = array.to_numpy(object).copy()
    texts[mask] = pd.NA
    return _texts(texts)


def _texts(texts: np.ndarray):
    # Not pd.arrays.StringArray(texts): where pyarrow is installed that array claims another dtype (pandas 3.1).
    return pd.array(texts, dtype=STRING, copy=False)


def cohort_index(n: int, index_date: np.datetime64, start: int = 0) -> pd.MultiIndex:
    """(patient_id, index_date) for patients start + 1 to start + n."""
    ids = np.array([f"P{k:07d}" for k in range(start + 1, start + n + 1)], dtype=object)
    # Built from levels and codes: no hashing of ten million names that are distinct and sorted by construction.
    return pd.MultiIndex(
        levels=[pd.Index(_texts(ids)), pd.DatetimeIndex([str(index_date)])],
        codes=[np.arange(n), np.zeros(n, dtype=np.int8)],
        names=["patient_id", "index_date"],
        verify_integrity=False,
    )
