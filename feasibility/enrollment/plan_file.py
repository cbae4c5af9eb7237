"""A plan as a TOML file: target, sites and rates, for planners who write no Python."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from feasibility.enrollment.assumptions import plan_from_protocol
from feasibility.enrollment.plan import Plan
from feasibility.enrollment.posterior import Gamma
from feasibility.enrollment.sites import Site, copies
from feasibility.enrollment.steps import Competing, Slots
from feasibility.errors import FeasibilityError, did_you_mean

PLAN = ("target", "goal", "calendar", "calendar_sd", "attractiveness_sd", "stock_rate", "stock_half_life", "prior")
TABLES = ("plan", "site", "rates", "slots", "competing", "eligible_share")


def load_plan(path: str | Path, protocol, counts: Mapping[str, Mapping] | None = None) -> Plan:
    """Read a plan for a protocol from a TOML file.

    ``[plan]`` has target, and if wanted goal, prior = [shape, months] and the other settings of ``Plan``; each
    ``[[site]]`` the fields of ``Site`` (prior = [shape, months], opens = 2 or [0, 2, 6]) and ``copies``; ``[rates]``
    the assumed rates that differ, consent = [8, 2]; ``[slots]`` and ``[[competing]]`` those of ``Slots`` and
    ``Competing``; ``eligible_share`` = [a, b] the share of a site's patients that the registry finds eligible, where
    its rate counts patients before screening. What the registry saw (``counts``, by site: arrivals, months, stock)
    fills in sites that state no arrivals.

    Raises FeasibilityError for a file that is not such a plan, naming what is wrong.
    """
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeasibilityError(f"{path}: there is no such plan file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FeasibilityError(f"{path.name} is no TOML file: {error}.") from None
    _known(given, TABLES, path.name)
    settings = dict(given.get("plan", {}))
    _known(settings, PLAN, f"{path.name}, [plan]")
    if "target" not in settings:
        raise FeasibilityError(f"{path.name}: [plan] needs target, the number of patients to reach.")
    if "prior" in settings:
        settings["prior"] = _gamma(settings["prior"], f"{path.name}, [plan] prior")
    if "slots" in given:
        settings["slots"] = _made(Slots, given["slots"], f"{path.name}, [slots]")
    settings["competing"] = [_made(Competing, one, f"{path.name}, [[competing]]") for one in given.get("competing", ())]
    if "eligible_share" in given:
        from feasibility.enrollment.steps import named_rates

        settings["eligible_share"] = named_rates({"share": given["eligible_share"]})["share"]
    sites = [s for one in given.get("site", ()) for s in _sites(one, counts or {}, path.name)]
    if not sites and counts:
        sites = [Site(name, **dict(found)) for name, found in counts.items()]
    target = settings.pop("target")
    return plan_from_protocol(protocol, sites, target, rates=given.get("rates"), **settings)


def _sites(given: Mapping, counts: Mapping[str, Mapping], file: str):
    given = dict(given)
    n = given.pop("copies", 1)
    if "prior" in given:
        given["prior"] = _gamma(given["prior"], f"{file}, [[site]] prior")
    if isinstance(given.get("opens"), list):
        given["opens"] = tuple(given["opens"])
    seen = counts.get(given.get("name", ""), {})
    if not {"arrivals", "rate", "prior"} & set(given):
        given |= {k: v for k, v in seen.items() if k not in given}
    site = _made(Site, given, f"{file}, [[site]]")
    return [site] if n == 1 else copies(site, n)


def _made(kind, given: Mapping, where: str):
    _known(given, [f.name for f in fields(kind)], where)
    try:
        return kind(**given)
    except TypeError as error:
        raise FeasibilityError(f"{where}: {str(error).removeprefix(kind.__name__ + '.__init__() ')}.") from None


def _gamma(pair, where: str) -> Gamma:
    if not isinstance(pair, list) or len(pair) != 2:
        raise FeasibilityError(f"{where} is [shape, months], got {pair!r}.")
    return Gamma(*pair)


def _known(given: Mapping, names, where: str) -> None:
    for name in given:
        if name not in names:
            raise FeasibilityError(f"{where}: {name!r} is not known.{did_you_mean(name, names)}")
