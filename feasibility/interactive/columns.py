"""Columns and sliders: each criterion at each released setting, and which of two settings relaxes it more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from feasibility.disclosure.table import ProtectedTable
from feasibility.protocol.criterion import Setting


@dataclass(frozen=True)
class Slider:
    """A threshold with a released grid: its values in order, the protocol's among them, and who reads it.

    ``direction`` is +1 where a larger value relaxes, -1 where a smaller one does.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    protocol: float
    direction: int
    criteria: tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """One criterion (its position) at one setting: the thresholds that differ from the protocol."""

    criterion: int
    settings: tuple[tuple[str, float], ...] = ()
    opaque: str = ""


def sliders_of(core: ProtectedTable, columns: Mapping[str, Column]) -> list[Slider]:
    """One slider a curve; a scenario that changes this threshold and nothing else adds its value."""
    sliders = []
    for name, table in core.curves().items():
        values = {float(v) for v in table.index}
        read = {i for i, label in enumerate(core.labels) if label.id in table.attrs.get("criteria", ())}
        for change in (c for c in core.changes if core.has(f"possible@{c.name}")):
            moved = [columns[c] for c in change.columns if c in columns and (columns[c].settings or columns[c].opaque)]
            alone = [column for column in moved if [k for k, _ in column.settings] == [name]]
            if alone and len(alone) == len(moved) and not change.waived:
                values |= {value for column in alone for _, value in column.settings}
                read |= {column.criterion for column in alone}
        unit, protocol = table.attrs.get("unit") or "", float(table.attrs["protocol"])
        direction = Setting(name, None).direction
        sliders.append(Slider(name, unit, tuple(sorted(values)), protocol, direction, tuple(sorted(read))))
    return sliders


def columns_of(core: ProtectedTable, names: Sequence[str]) -> list[Column]:
    """The criterion and setting behind each column's name."""
    place = {label.id: i for i, label in enumerate(core.labels)}
    settings = {c: change.settings for change in core.changes for c in change.columns}
    columns = []
    for name in names:
        key, _, told = name.partition("|")
        moved = [part.partition("=")[0] for part in told.split(",")] if told else []
        told_by = settings.get(name, {})
        if key not in place or any(m not in told_by for m in moved):  # an added or rewritten criterion
            columns.append(Column(place.get(key, -1), opaque=name))
            continue
        values = tuple((m, float(v) if _number(v := told_by[m]) else v) for m in sorted(moved))
        columns.append(Column(place[key], values))
    return columns


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def order_of(columns: Sequence[Column], sliders: Sequence[Slider]) -> np.ndarray:
    """``looser[a, b]``: column a is the same criterion as b at a setting at least as loose."""
    scale = {s.name: s for s in sliders}
    looser = np.eye(len(columns), dtype=bool)
    for a, one in enumerate(columns):
        for b, other in enumerate(columns):
            if one.criterion == other.criterion and not one.opaque and not other.opaque:
                looser[a, b] = at_least_as_loose(dict(one.settings), dict(other.settings), scale)
    return looser


def at_least_as_loose(one: Mapping, other: Mapping, scale: Mapping[str, Slider]) -> bool:
    """Whether settings relax a criterion at least as much as others do, in every threshold."""
    for name in one.keys() | other.keys():
        slider = scale.get(name)
        if slider is None:
            if name not in one or name not in other or one[name] != other[name]:
                return False
            continue
        mine, theirs = one.get(name, slider.protocol), other.get(name, slider.protocol)
        if mine != theirs and slider.direction != (1 if mine > theirs else -1):
            return False
    return True
