"""The sponsor's document: what a release says, with nothing in it that is not protected."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from feasibility.disclosure.policy import Policy
from feasibility.disclosure.release import Release
from feasibility.disclosure.table import ProtectedTable, RoundedMargin
from feasibility.enrollment.forecast import Forecast
from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol
from feasibility.sponsor.branding import Branding
from feasibility.sponsor.wording import Wording, trial_words

PACKAGES = ("trial-feasibility", "pandas", "numpy", "matplotlib", "pypandoc-binary", "typst")


@dataclass(frozen=True)
class Count:
    """A protected number of patients with the policy it is printed by.

    ``value`` is None where a rounded table withholds it; ``margin`` says that it comes from such a table. ``str()`` is
    what a reader sees: "<8" below the policy's threshold, "<13" in a rounded table.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> str(Count(1250, POLICIES["nhs"])), str(Count(5, POLICIES["nhs"])), Count(5, POLICIES["nhs"]).drawn
    ('1,250', '<8', 0)
    >>> str(Count(None, POLICIES["nhs"], margin=True))
    '<13'
    """

    value: int | None
    policy: Policy
    margin: bool = False

    def __str__(self) -> str:
        return f"<{self.least}" if self.small else f"{self.value:,}"

    @property
    def least(self) -> int:
        """The smallest number that is printed as one."""
        return self.policy.margin_threshold if self.margin else self.policy.threshold

    @property
    def small(self) -> bool:
        """Whether it is printed as "<8" rather than as a number."""
        return self.value is None or self.value < (self.policy.threshold if not self.margin else 1)

    @property
    def drawn(self) -> int:
        """Length of its bar: nothing where the number is not printed."""
        return 0 if self.small else int(self.value)

    def share(self, whole: Count) -> str:
        """Whole percent of another protected number; "<2%" where the number itself is not printed.

        >>> from feasibility.disclosure.policy import POLICIES
        >>> nhs = POLICIES["nhs"]
        >>> [Count(n, nhs).share(Count(400, nhs)) for n in (100, 5, 400)]
        ['25%', '<2%', '100%']
        """
        if whole.small or not whole.value:
            return "–"
        if self.small:
            least = self.policy.margin_threshold if self.value is None else self.policy.threshold
            return f"<{min(100, math.ceil(100 * least / whole.value))}%"
        percent = 100 * self.value / whole.value
        if self.value < whole.value and percent >= 99.5:
            return ">99%"
        return f"{max(math.floor(percent + 0.5), 1)}%"


def need_release(value, what: str = "the report") -> Release:
    """The release, if it and everything in it is protected.

    Raises FeasibilityError for a table, a number or anything else that did not go through the protection.
    """
    if not isinstance(value, Release):
        raise _unprotected(what, value, "Release.collect(cohort, protocol) makes a release")
    if not isinstance(value.core, ProtectedTable):
        raise _unprotected("the core of the release", value.core, "it must be a ProtectedTable")
    for name, margin in value.margins.items():
        if not isinstance(margin, RoundedMargin):
            raise _unprotected(f"the table {name!r} of the release", margin, "it must be a RoundedMargin")
        if margin.additive:
            raise FeasibilityError(f"The table {name!r} is rounded number by number and cannot be called additive.")
    _check_rounded(value)
    return value


def _check_rounded(release: Release) -> None:
    """Every number is a multiple of the policy's base, whatever the types say."""
    policy = release.policy
    if policy.epsilon is not None:
        return
    if policy.every_cell and (release.core.n % policy.base).any():
        raise FeasibilityError(f"The core of the release holds numbers that are no multiples of {policy.base}.")
    for name, margin in release.margins.items():
        for column in (c for c in margin.frame if c == "n" or str(c).startswith("n_")):
            numbers = margin.frame[column].dropna()
            wrong = numbers[[not may_be_protected(n, policy) for n in numbers]]
            if len(wrong):
                raise FeasibilityError(
                    f"The table {name!r} of the release is not rounded: {column} of {wrong.index[0]!r} is"
                    f" {wrong.iloc[0]}, no multiple of {policy.base}. RoundedMargin.of() rounds a table."
                )


def need_forecast(value, policy: Policy) -> Forecast:
    """The forecast, if its sites' arrivals can be protected numbers: none, or multiples of the policy's base.

    Arrivals taken from patients one by one can be read off a median (6 and 7 arrivals give different months).
    """
    if not isinstance(value, Forecast):
        raise FeasibilityError(
            f"The report needs the Forecast that feasibility.forecast() makes, got {type(value).__name__}."
        )
    for site in value.plan.sites:
        for what, given in (("arrivals", site.arrivals), ("stock", site.stock)):
            numbers = () if given is None else given if isinstance(given, (tuple, list)) else (given,)
            exact = [n for n in numbers if not may_be_protected(n, policy)]
            if exact:
                raise FeasibilityError(
                    f"Site {site.name!r}: {what} = {exact[0]} is no protected number (a multiple of {policy.base} under"
                    f" policy {policy.name!r}); its forecast would give it back. Use the rounded arrivals of the"
                    " release, or a plan that states its rate."
                )
    return value


def may_be_protected(n, policy: Policy) -> bool:
    """Whether a number can be a protected one: a multiple of the base; a policy for small groups keeps large ones.

    >>> from feasibility.disclosure.policy import POLICIES
    >>> [may_be_protected(n, POLICIES["nhs"]) for n in (6, 35)], [may_be_protected(n, POLICIES["cms"]) for n in (6, 35)]
    ([False, True], [False, True])
    """
    return policy.epsilon is not None or n % policy.base == 0 or (not policy.every_cell and n >= policy.threshold)


def _unprotected(what: str, value, advice: str) -> FeasibilityError:
    return FeasibilityError(
        f"The sponsor's report prints protected numbers only: {what} is a {type(value).__name__}; {advice}."
    )


@dataclass(frozen=True, eq=False)
class SponsorDocument:
    """Everything the sponsor's report says, in one language. Every number of patients comes from ``release``.

    ``dated`` is the date to print, ``synthetic`` puts a banner on every page, ``source_words`` says in the user's words
    where the patients come from (no file name or hash). ``interactive_html`` is put into the HTML alone, after the
    thresholds. ``build`` is the fingerprint of how the columns were made, ``versions`` the software's.
    """

    release: Release
    protocol: Protocol
    words: Wording
    branding: Branding = Branding()
    forecast: Forecast | None = None
    dated: str = ""
    synthetic: bool = False
    source_words: str = ""
    interactive_html: str = ""
    build: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        need_release(self.release)
        if self.forecast is not None:
            need_forecast(self.forecast, self.release.policy)
        if self.release.protocol.fingerprint() != self.protocol.fingerprint():
            raise FeasibilityError(
                f"The release was made for another protocol ({self.release.protocol.id},"
                f" {self.release.protocol.fingerprint()}) than this report's ({self.protocol.id},"
                f" {self.protocol.fingerprint()})."
            )

    @classmethod
    def of(
        cls,
        release: Release,
        protocol: Protocol,
        *,
        language: str | None = None,
        branding: Branding | None = None,
        forecast: Forecast | None = None,
        dated: str = "",
        synthetic: bool = False,
        source_words: str = "",
        interactive_html: str = "",
        build: str = "",
        trial_file: Path | str | None = None,
    ) -> SponsorDocument:
        """The document of a release, in English ("en") or Chinese ("zh").

        Without ``language`` the branding's is used, else English. ``trial_file`` is a TOML file with the trial's names
        and readings in that language, for a trial that brings none. Raises FeasibilityError for anything that is not
        protected, an unknown language, and a release of another protocol.

        >>> SponsorDocument.of([97, 3], None)
        Traceback (most recent call last):
            ...
        feasibility.errors.FeasibilityError: The sponsor's report prints protected numbers only: the report is a list; \
Release.collect(cohort, protocol) makes a release.
        """
        need_release(release)
        branding = branding or Branding()
        language = language or branding.language or "en"
        words = Wording(language)
        words = replace(words, trial=trial_words(protocol.id, language, trial_file))
        return cls(
            release, protocol, words, branding, forecast, str(dated), bool(synthetic), source_words, interactive_html,
            build, software(),
        )  # fmt: skip

    @property
    def language(self) -> str:
        return self.words.language

    @property
    def policy(self) -> Policy:
        return self.release.policy

    @property
    def core(self) -> ProtectedTable:
        return self.release.core

    def count(self, value) -> Count:
        """A number of the release's core as a protected number."""
        return Count(int(value), self.policy)

    def rounded(self, value) -> Count:
        """A number of a rounded table as a protected number; NA is one it withholds."""
        return Count(None if pd.isna(value) else int(value), self.policy, margin=True)

    def margin(self, name: str) -> pd.DataFrame | None:
        """A rounded table of the release, or None where it has none of that name."""
        found = self.release.margins.get(name)
        return None if found is None or not len(found.frame) else found.frame

    @property
    def n_patients(self) -> Count:
        return self.count(self.core.n_patients)

    @property
    def n_possible(self) -> Count:
        return self.count(self.core.n_possible)

    @property
    def n_confirmed(self) -> Count | None:
        """None where the release leaves the bounds out."""
        return None if self.core.n_confirmed is None else self.count(self.core.n_confirmed)

    @property
    def n_undetermined(self) -> Count | None:
        return None if self.core.n_confirmed is None else self.count(self.core.n_possible - self.core.n_confirmed)

    @property
    def n_excluded(self) -> Count:
        return self.count(self.core.n_patients - self.core.n_possible)

    @property
    def title(self) -> str:
        return self.words.plain("title", trial=self.protocol.id)


def software() -> dict[str, str]:
    """Names and versions of the software that makes the report."""
    found: dict[str, Any] = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
