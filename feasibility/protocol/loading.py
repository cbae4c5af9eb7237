"""Finding trials: by file path, or by the entry-point group ``feasibility.trials``. There is no global registry."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

from feasibility.errors import ProtocolError, did_you_mean
from feasibility.protocol.protocol import Protocol

GROUP = "feasibility.trials"


def trials() -> dict[str, str]:
    """Installed trials: id to the module that holds it."""
    return {e.name: e.value for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load_trial(name: str | Path) -> Protocol:
    """The protocol of a trial, by its id ("NCT06642025") or by the path of its file.

    A trial file is a Python module with a ``protocol``. Raises ProtocolError for an unknown id (with the nearest
    known one) and for a file without a protocol.

    >>> load_trial("NCT06642025").id
    'NCT06642025'
    """
    text = str(name)
    if text.endswith(".py") or "/" in text or "\\" in text:
        module = _from_path(Path(text))
    else:
        found = {e.name: e for e in entry_points(group=GROUP)}
        match = {n.lower(): e for n, e in found.items()}.get(text.lower())
        if match is None:
            raise ProtocolError(
                f"No trial {text!r} is installed.{did_you_mean(text, found)} A trial file can be given by its path."
            )
        module = match.load()
    protocol = getattr(module, "protocol", None)
    if not isinstance(protocol, Protocol):
        raise ProtocolError(f"{text}: no Protocol named 'protocol' in that file.")
    return protocol


def _from_path(path: Path):
    if not path.is_file():
        raise ProtocolError(f"No trial file {path}.")
    name = f"feasibility_trial_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProtocolError(f"{path}: a trial file is a Python module (.py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that the criteria's annotations and sources can be found
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ProtocolError(f"{path}, line {error.lineno}: {error.msg}.") from None
    return module
