"""Finding trials: by file path, or by the entry-point group ``feasibility.trials``. There is no global registry."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from feasibility.errors import ProtocolError, did_you_mean
from feasibility.protocol.protocol import Protocol

GROUP = "feasibility.trials"


def installed_trials() -> dict[str, str]:
    """Installed trials: id to the module that holds it."""
    return {e.name: e.value for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load_trial(name: str | Path) -> Protocol:
    """The protocol of a trial, by its id ("NCT06642025") or by the path of its file.

    A trial file is a Python module with a ``protocol``. Raises ProtocolError for an unknown id (with the nearest
    known one), for a file that does not load and for one without a protocol.

    >>> load_trial("NCT06642025").id
    'NCT06642025'
    """
    protocol = getattr(trial_module(name), "protocol", None)
    if not isinstance(protocol, Protocol):
        raise ProtocolError(f"{name}: no Protocol named 'protocol' in that file.")
    return protocol


def trial_module(name: str | Path) -> ModuleType:
    """The module that holds a trial: its ``protocol``, ``columns`` and, where it has one, its ``synthetic`` cohort."""
    text = str(name)
    if text.endswith(".py") or "/" in text or "\\" in text:
        return _from_path(Path(text))
    found = {e.name: e for e in entry_points(group=GROUP)}
    match = {n.lower(): e for n, e in found.items()}.get(text.lower())
    if match is None:
        raise ProtocolError(
            f"No trial {text!r} is installed.{did_you_mean(text, found)} A trial file can be given by its path."
        )
    return _loaded(match.load, f"{match.value} (installed trial {match.name})")


def _from_path(path: Path) -> ModuleType:
    if not path.is_file():
        raise ProtocolError(f"No trial file {path}.")
    # Two files of one name are two modules: the annotations and sources of criteria are looked up by module.
    name = f"feasibility_trial_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProtocolError(f"{path}: a trial file is a Python module (.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _loaded(lambda: spec.loader.exec_module(module), str(path))
    except ProtocolError:
        del sys.modules[name]
        raise
    return module


def _loaded(load: Callable, where: str):
    try:
        return load()
    except SyntaxError as error:
        raise ProtocolError(f"{where}, line {error.lineno}: {error.msg}.") from None
    except ImportError as error:
        raise ProtocolError(f"{where} does not load: {error}.") from error
