"""A plan: the sites, the steps a patient must pass, the limits of the trial, and what counts as reaching the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

from feasibility.enrollment.posterior import Gamma
from feasibility.enrollment.sites import Site, _number
from feasibility.enrollment.steps import Competing, Slots, Step
from feasibility.errors import FeasibilityError, did_you_mean


@dataclass(frozen=True)
class Plan:
    """Everything a forecast rests on.

    ``counts`` says what the sites' rates count ("eligible" by the registry); the steps lead from there to the ``goal``,
    the milestone that ``target`` patients must reach. Everyone lost before the goal is replaced by a later patient;
    nobody is replaced after it. Steps up to a milestone named in ``counts`` are left out: whoever is enrolled already
    is not asked for consent again.

    ``prior`` is that of sites without one of their own. Without it, a single site has Jeffreys' prior and several
    share a Gamma whose two parameters are estimated, with their uncertainty, from the sites with data.

    Drawn once per simulated trial, because more sites do not average them out: every step, every competing trial,
    ``attractiveness_sd`` (of the logarithm of a factor on all rates) and ``calendar_sd`` (the same, anew each year).
    ``calendar`` holds known changes of all rates, as (from month, factor). ``stock_rate`` is the rate a month at which
    patients of an opening stock are approached, ``stock_half_life`` how fast they lose eligibility meanwhile.

    Raises FeasibilityError for no sites, two of one name, a target below 1, an unknown goal and rates out of range.

    >>> plan = Plan([Site("Hefei", arrivals=6, months=24)], target=9, steps=[Step("consent", 0.7, reaches="consented")])
    >>> plan.goal, plan.milestones
    ('consented', ('eligible', 'consented'))
    """

    sites: tuple[Site, ...]
    target: int
    steps: tuple[Step, ...] = ()
    goal: str = ""
    counts: str = "eligible"
    prior: Gamma | None = None
    slots: Slots | None = None
    competing: tuple[Competing, ...] = ()
    calendar: tuple[tuple[float, float], ...] = ()
    calendar_sd: float = 0
    attractiveness_sd: float = 0
    stock_rate: float = 0.5
    stock_half_life: float = 5

    def __post_init__(self):
        sites = (self.sites,) if isinstance(self.sites, Site) else tuple(self.sites)
        object.__setattr__(self, "sites", sites)
        object.__setattr__(self, "competing", tuple(self.competing))
        if not sites:
            raise FeasibilityError("A plan needs at least one site.")
        names = [s.name for s in sites]
        double = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
        if double is not None:
            raise FeasibilityError(f"Two sites are called {double!r}; give each its own name.")
        if isinstance(self.target, bool) or not _number(self.target) or self.target < 1 or self.target % 1:
            raise FeasibilityError(f"The target must be a whole number of at least 1 patient, got {self.target!r}.")
        steps = tuple(self.steps)
        object.__setattr__(self, "steps", steps)
        reached = [s.reaches for s in steps if s.reaches]
        doubled = {s.name for s in steps if [t.name for t in steps].count(s.name) > 1}
        doubled |= {m for m in reached if (self.counts, *reached).count(m) > (2 if m == self.counts else 1)}
        if doubled:
            raise FeasibilityError(f"Two steps have the name or milestone {min(doubled)!r}; each must differ.")
        if steps and not steps[-1].reaches:
            raise FeasibilityError(
                f"Step {steps[-1].name!r} is the last and leads nowhere: say what it reaches, reaches='enrolled'."
            )
        object.__setattr__(self, "goal", self.goal or self.milestones[-1])
        if self.goal not in self.milestones:
            raise FeasibilityError(
                f"No step reaches the goal {self.goal!r} after {self.counts!r}."
                f"{did_you_mean(self.goal, self.milestones)}"
            )
        self._check_rates()

    def _check_rates(self):
        for what in ("calendar_sd", "attractiveness_sd", "stock_rate"):
            if not _number(getattr(self, what)):
                raise FeasibilityError(f"{what} must be 0 or more, got {getattr(self, what)!r}.")
        if not _number(self.stock_half_life, infinite=True) or self.stock_half_life == 0:
            raise FeasibilityError(f"stock_half_life must be above 0 months, got {self.stock_half_life!r}.")
        calendar = tuple((start, factor) for start, factor in self.calendar)
        if not all(_number(v) for pair in calendar for v in pair) or [c[0] for c in calendar] != sorted(
            {c[0] for c in calendar}
        ):
            raise FeasibilityError("calendar needs (from month, factor) in order, none negative.")
        object.__setattr__(self, "calendar", calendar)
        known = [s.name for s in self.sites]
        for one in self.competing:
            for name in one.sites:
                if name not in known:
                    raise FeasibilityError(
                        f"Competing trial {one.name!r}: no site {name!r}.{did_you_mean(name, known)}"
                    )
        if (
            self.prior is not None
            and not self.prior.proper
            and not all(s.has_data or s.rate is not None or s.prior is not None for s in self.sites)
        ):
            raise FeasibilityError("Sites without data need a proper prior: months above 0, such as Gamma(1.2, 12).")
        if len(self.sites) == 1 and self.prior is None:
            only = self.sites[0]
            if not only.has_data and only.prior is None and only.rate is None:
                raise FeasibilityError(
                    f"Site {only.name!r}: nothing says how many patients it has; give arrivals and months, or a prior."
                )
        if self.slots and self.slots.before not in self.milestones[1:]:
            raise FeasibilityError(
                f"Slots come before {self.slots.before!r}, which no step reaches."
                f"{did_you_mean(self.slots.before, self.milestones[1:])}"
            )
        self.imputations  # noqa: B018  (checks the lengths)

    @property
    def active_steps(self) -> tuple[Step, ...]:
        """The steps after what the rates count, in order."""
        at = next((i for i, s in enumerate(self.steps) if s.reaches == self.counts), -1)
        return self.steps[at + 1 :]

    @property
    def milestones(self) -> tuple[str, ...]:
        return (self.counts, *(s.reaches for s in self.active_steps if s.reaches))

    def steps_to(self, milestone: str) -> tuple[Step, ...]:
        """The steps that lead to a milestone."""
        if milestone == self.counts:
            return ()
        for i, step in enumerate(self.active_steps):
            if step.reaches == milestone:
                return self.active_steps[: i + 1]
        raise FeasibilityError(f"No step reaches {milestone!r}.{did_you_mean(milestone, self.milestones)}")

    @property
    def queued(self) -> bool:
        """Whether places limit the goal: those after it do not."""
        return bool(
            self.slots and self.slots.gap > 0 and self.slots.before in [s.reaches for s in self.steps_to(self.goal)]
        )

    @property
    def imputations(self) -> int:
        """How many imputations the counts and rates come in: 1 where nothing was imputed."""
        lengths = {len(v) for s in self.sites for v in (s.arrivals or (0,), s.stock)}
        lengths |= {len(s.rate) for s in self.steps if isinstance(s.rate, tuple)}
        lengths -= {1}
        if len(lengths) > 1:
            raise FeasibilityError(
                f"Lists of {', '.join(map(str, sorted(lengths)))} imputations do not go together; use one length."
            )
        return lengths.pop() if lengths else 1

    def with_rates(self, **rates) -> Plan:
        """The plan with other rates of steps or shares of competing trials, by name.

        >>> plan = Plan([Site("A", 6, 24)], 9, [Step("consent", 0.7, reaches="in")])
        >>> plan.with_rates(consent=0.8).steps[0].mean
        0.8
        """
        known = [s.name for s in (*self.steps, *self.competing)]
        for name in rates:
            if name not in known:
                raise FeasibilityError(f"The plan has no rate {name!r}.{did_you_mean(name, known)}")
        steps = tuple(replace(s, rate=rates[s.name]) if s.name in rates else s for s in self.steps)
        competing = tuple(replace(c, share=rates[c.name]) if c.name in rates else c for c in self.competing)
        return replace(self, steps=steps, competing=competing)

    def with_sites(self, *sites: Site) -> Plan:
        """The plan with further sites."""
        return replace(self, sites=(*self.sites, *sites))

    def change(self, **changes) -> Plan:
        """The plan with other settings, by name."""
        known = list(self.__dataclass_fields__)
        for name in changes:
            if name not in known:
                raise FeasibilityError(f"A plan has no setting {name!r}.{did_you_mean(name, known)}")
        return replace(self, **changes)

    @property
    def replacement(self) -> str:
        """The replacement rule in words."""
        return (
            f"The target counts patients who are {self.goal}; everyone lost before that is replaced by a later patient,"
            " nobody after it."
        )
