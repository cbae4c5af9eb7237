"""A criterion is a plain function of cohort columns; the decorator keeps the protocol's own words beside it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from feasibility.errors import ProtocolError, did_you_mean
from feasibility.protocol.portable import check_operations, normalised_source

KINDS = ("inclusion", "exclusion")
ORIGINS = ("protocol", "ours")


@dataclass(frozen=True)
class Setting:
    """A threshold or a reading of a criterion: a keyword-only parameter of its function.

    ``whole`` thresholds (annotated ``int``) take whole numbers only. ``direction`` is +1 where a larger value relaxes
    (``max_*``), -1 where a smaller one does (``min_*``), else 0. ``origin`` says whose number it is: "protocol" where
    the registered text states it, "ours" where the text leaves it open (every reading and look-back unless declared
    otherwise: ``Annotated[float, "d", "protocol"]``). A look-back (``max_days_since_*``, ``max_months_since_*``) is no
    such threshold: looking back further makes unknown values known, which may then pass or fail.
    """

    name: str
    default: Any
    unit: str = ""
    choices: tuple = ()
    criterion: str = ""
    whole: bool = False
    origin: str = ""

    @property
    def is_reading(self) -> bool:
        return bool(self.choices)

    @property
    def is_lookback(self) -> bool:
        return self.name.startswith(("max_days_since_", "max_months_since_"))

    @property
    def kind(self) -> str:
        return "reading" if self.is_reading else "look-back" if self.is_lookback else "threshold"

    @property
    def direction(self) -> int:
        if self.is_reading or self.is_lookback:
            return 0
        return 1 if self.name.startswith("max_") else -1 if self.name.startswith("min_") else 0

    def check(self, value):
        """The value as the function wants it, or an error that says what would be accepted."""
        if self.is_reading:
            if value not in self.choices or isinstance(value, bool) != isinstance(self.choices[0], bool):
                raise ProtocolError(
                    f"Reading {self.name!r} of {self.criterion} cannot be {value!r}."
                    f" Choices: {', '.join(repr(c) for c in self.choices)}."
                )
            return value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number and hasattr(value, "item"):  # a numpy scalar from a range of thresholds
            return self.check(value.item())
        if not number or math.isnan(value):
            unit = f" in {self.unit}" if self.unit else ""
            raise ProtocolError(f"Threshold {self.name!r} of {self.criterion} needs a number{unit}, got {value!r}.")
        if self.whole and math.isinf(value):
            return value  # no limit
        if self.whole and float(value) != int(value):
            raise ProtocolError(
                f"Threshold {self.name!r} of {self.criterion} counts, so {value!r} must be a whole number."
            )
        return int(value) if self.whole else value


@dataclass(frozen=True)
class Beta:
    """A rate between 0 and 1 with its uncertainty: the Beta(a, b) distribution.

    >>> Beta(7, 3).mean
    0.7
    """

    a: float
    b: float

    def __post_init__(self):
        if not (self.a > 0 and self.b > 0):
            raise ProtocolError(f"Beta({self.a}, {self.b}): both parameters must be above 0.")

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """The central interval that holds ``level`` of the distribution."""
        from scipy.stats import beta

        low, high = beta.ppf([(1 - level) / 2, (1 + level) / 2], self.a, self.b)
        return float(low), float(high)


@dataclass(frozen=True)
class NotAssessable:
    """A clause that no registry can decide: quoted and listed, never a reason to call a patient undetermined.

    ``rate`` is the share of otherwise eligible patients expected to *satisfy* it. ``same_as`` names another one that
    states the same fact, so that a projection counts it once.
    """

    id: str
    name: str
    kind: str
    text: str
    rate: Beta
    source: str
    same_as: str = ""
    assessable = False

    @property
    def clause(self) -> str:
        return self.id.split(".")[0]


@dataclass(frozen=True)
class Criterion:
    """One inclusion or exclusion criterion: the protocol's words, our reading, and the function that decides.

    ``met(cohort)`` says whether the criterion as worded is met; ``passes(cohort)`` whether the patient survives it
    (for an exclusion: not met). Both are three-valued.
    """

    id: str
    kind: str
    text: str
    function: Callable
    name: str
    reading: str
    columns: tuple[str, ...]
    settings: tuple[Setting, ...]
    changed: Mapping[str, Any] = field(default_factory=dict)
    assessable = True

    @property
    def clause(self) -> str:
        return self.id.split(".")[0]

    @property
    def values(self) -> dict[str, Any]:
        """Every threshold and reading with the value in force."""
        return {s.name: s.default for s in self.settings} | dict(self.changed)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that can change the answer under the thresholds and readings in force."""
        from feasibility.engine.trace import columns_read

        return columns_read(self)

    def setting(self, name: str) -> Setting:
        for one in self.settings:
            if one.name == name:
                return one
        raise ProtocolError(
            f"Criterion {self.id} ({self.name}) has no threshold or reading {name!r}."
            f"{did_you_mean(name, [s.name for s in self.settings])}"
        )

    def with_thresholds(self, **values) -> Criterion:
        """The same criterion with other thresholds or readings."""
        checked = {name: self.setting(name).check(value) for name, value in values.items()}
        changed = {
            name: value for name, value in (dict(self.changed) | checked).items() if value != self.setting(name).default
        }
        return replace(self, changed=changed)

    def evaluate(self, columns: Mapping[str, Any], **overrides):
        """The raw answer of the function for any engine's columns."""
        return self.function(*(columns[c] for c in self.columns), **(self.values | overrides))

    def met(self, cohort):
        """Whether the criterion as worded is met: a ``boolean`` Series with the cohort's index."""
        from feasibility.engine.pandas_engine import evaluate

        return evaluate(self, cohort)

    def passes(self, cohort):
        """Whether the patient survives the criterion: for an exclusion, that it is not met."""
        met = self.met(cohort)
        return met if self.kind == "inclusion" else ~met

    def __call__(self, *columns, **settings):
        return self.function(*columns, **settings)

    def signature(self) -> list:
        """What the fingerprint covers: a change of words, code, columns or values in force changes it."""
        return [
            self.id,
            self.kind,
            self.name,
            self.text,
            list(self.columns),
            self.values,
            normalised_source(self.function),
        ]


def inclusion(id: str, text: str) -> Callable[[Callable], Criterion]:  # noqa: A002
    """Declare an inclusion criterion: the decorated function says when it is met.

    >>> import pandas as pd
    >>> @inclusion("I4", "Age >= 18")
    ... def adult(age_years, *, min_age: Annotated[int, "a"] = 18):
    ...     "Completed years on the day of screening."
    ...     return age_years >= min_age
    >>> adult.met(pd.DataFrame({"age_years": pd.array([17, 18, None], dtype="Int64")})).tolist()
    [False, True, <NA>]
    """
    return _decorator("inclusion", id, text)


def exclusion(id: str, text: str) -> Callable[[Callable], Criterion]:  # noqa: A002
    """Declare an exclusion criterion: the decorated function says when it is met, and whoever meets it is excluded."""
    return _decorator("exclusion", id, text)


def not_assessable(id, name, kind, text, *, rate, source, same_as="") -> NotAssessable:  # noqa: A002
    """Declare a clause that the data cannot decide, with the rate at which patients are assumed to satisfy it.

    >>> not_assessable("I7", "consent", "inclusion", "Voluntary participation", rate=Beta(7, 3), source="...").clause
    'I7'
    """
    if kind not in KINDS:
        raise ProtocolError(f"{id}: kind is {kind!r}, not 'inclusion' or 'exclusion'.")
    if not isinstance(rate, Beta):
        raise ProtocolError(f"{id} ({name}): rate must be a Beta(a, b), got {rate!r}.")
    return NotAssessable(id, name, kind, text, rate, source, same_as)


def _decorator(kind: str, id: str, text: str):  # noqa: A002
    def wrap(function) -> Criterion:
        where = f"Criterion {id} ({function.__name__})"
        columns, settings = _read_signature(function, where)
        check_operations(function, where)
        return Criterion(
            id=id, kind=kind, text=text, function=function, name=function.__name__,
            reading=inspect.cleandoc(function.__doc__ or ""), columns=columns, settings=settings,
        )  # fmt: skip

    return wrap


def _read_signature(function, where):
    hints = get_type_hints(function, include_extras=True)
    columns, settings = [], []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ProtocolError(f"{where}: name every column and threshold; *args and **kwargs are not allowed.")
        if parameter.kind is parameter.KEYWORD_ONLY:
            settings.append(_setting(name, parameter.default, hints.get(name), where))
        elif parameter.default is not parameter.empty:
            raise ProtocolError(
                f"{where}: {name!r} has a default, so it is a threshold: put it after '*' to make it keyword-only."
            )
        else:
            columns.append(name)
    if not columns:
        raise ProtocolError(f"{where} reads no cohort column; use not_assessable(...) for what the data cannot say.")
    return tuple(columns), tuple(settings)


def _setting(name, default, hint, where) -> Setting:
    if default is inspect.Parameter.empty:
        raise ProtocolError(f"{where}: threshold {name!r} needs the protocol's value as its default.")
    unit = origin = ""
    if get_origin(hint) is Annotated:
        hint, unit, *more = get_args(hint)
        origin = more[0] if more else ""
        if origin not in ("", *ORIGINS):
            raise ProtocolError(f"{where}: the origin of {name!r} is {origin!r}, not 'protocol' or 'ours'.")
    if get_origin(hint) is Literal:
        choices = get_args(hint)
    elif hint is bool or isinstance(default, bool):
        choices = (False, True)
    else:
        choices = ()
    setting = Setting(name, default, unit, choices, where.removeprefix("Criterion "), whole=hint is int, origin=origin)
    if not origin:
        ours = setting.is_reading or setting.is_lookback
        setting = replace(setting, origin="ours" if ours else "protocol")
    if default is not None:
        setting.check(default)
    return setting
