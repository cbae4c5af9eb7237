"""A named change of a protocol: other thresholds and readings, waived criteria. Kept as a small TOML file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feasibility.errors import ProtocolError, did_you_mean
from feasibility.protocol.criterion import Beta
from feasibility.protocol.protocol import Protocol

KEYS = ("name", "description", "trial", "thresholds", "readings", "rates", "waive")
TABLES = ("thresholds", "readings", "rates")


@dataclass(frozen=True)
class Scenario:
    """What would change: thresholds and readings by their flat names, criteria or clauses to waive, assumed rates.

    ``rates`` maps what no table can tell ("consent") to the a and b of its Beta distribution.

    >>> Scenario("Platelets above 20", thresholds={"min_platelets": 20}).name
    'Platelets above 20'
    """

    name: str
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    readings: Mapping[str, Any] = field(default_factory=dict)
    waive: tuple[str, ...] = ()
    trial: str = ""
    description: str = ""
    rates: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, protocol: Protocol) -> Protocol:
        """The protocol under this scenario; raises ProtocolError where a name does not fit it."""
        if self.trial and self.trial != protocol.id:
            raise ProtocolError(f"Scenario {self.name!r} is written for {self.trial}, not for {protocol.id}.")
        for names, is_reading, wrong in ((self.thresholds, False, "readings"), (self.readings, True, "thresholds")):
            for name in names:
                if protocol.setting(name).is_reading != is_reading:
                    raise ProtocolError(f"Scenario {self.name!r}: {name!r} belongs under [{wrong}].")
        changed = protocol.with_thresholds(**(dict(self.thresholds) | dict(self.readings)))
        changed = changed.with_rates(**self.rates) if self.rates else changed
        return changed.without(*self.waive) if self.waive else changed

    def to_toml(self) -> str:
        """The text of a scenario file that ``from_toml`` reads back as this scenario.

        >>> print(Scenario("Wider", thresholds={"min_platelets": 20}, waive=("E7",)).to_toml(), end="")
        name = "Wider"
        waive = ["E7"]
        <BLANKLINE>
        [thresholds]
        min_platelets = 20
        """
        lines = [f"{key} = {_toml(getattr(self, key))}" for key in ("name", "description", "trial")
                 if getattr(self, key) or key == "name"]  # fmt: skip
        if self.waive:
            lines.append(f"waive = [{', '.join(map(_toml, self.waive))}]")
        for table in TABLES:
            if getattr(self, table):
                lines += ["", f"[{table}]", *(f"{_key(k)} = {_toml(v)}" for k, v in getattr(self, table).items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, path: str | Path) -> Scenario:
        """Read a scenario file; a typo in a key is an error that names the nearest key."""
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ProtocolError(f"No scenario file {path}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(f"{path}: not a readable TOML file: {error}.") from None
        for key in data:
            if key not in KEYS:
                raise ProtocolError(f"{path}: unknown key {key!r}.{did_you_mean(key, KEYS)}")
        for table in TABLES:
            if not isinstance(data.get(table, {}), dict):
                raise ProtocolError(f"{path}: {table} must be a table, [{table}], with one line a name.")
        waive = data.get("waive", [])
        if not isinstance(waive, list) or not all(isinstance(w, str) for w in waive):
            raise ProtocolError(f'{path}: waive must be a list of ids or names, such as waive = ["E7"].')
        return cls(
            name=data.get("name", path.stem),
            thresholds=data.get("thresholds", {}),
            readings=data.get("readings", {}),
            waive=tuple(waive),
            trial=data.get("trial", ""),
            description=data.get("description", ""),
            rates=data.get("rates", {}),
        )


def _toml(value) -> str:
    """A value as TOML writes it."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Beta):
        return f"[{value.a!r}, {value.b!r}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
