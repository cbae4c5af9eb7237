"""Which columns a criterion really reads under the readings in force.

The function is called once with stand-ins that only remember which columns they came from. A reading that is
switched off (``mask & False``) drops the columns behind it, so a hospital need not deliver what nobody asks for.
"""

from __future__ import annotations


class Trace:
    """A stand-in for a column or a mask: the set of columns its value depends on."""

    __slots__ = ("columns",)
    __hash__ = None

    def __init__(self, columns=frozenset()):
        self.columns = frozenset(columns)

    def unknown(self) -> Trace:
        return Trace()

    def _join(self, other) -> Trace:
        return Trace(self.columns | (other.columns if isinstance(other, Trace) else frozenset()))

    def __and__(self, other) -> Trace:
        return Trace() if other is False else self._join(other)

    def __or__(self, other) -> Trace:
        return Trace() if other is True else self._join(other)

    def __invert__(self) -> Trace:
        return Trace(self.columns)

    def __bool__(self):
        raise ValueError("The truth value of a column is ambiguous.")

    __rand__, __ror__ = __and__, __or__
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _join
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _join


def columns_read(criterion) -> tuple[str, ...]:
    """The columns that can change this criterion's answer with its thresholds and readings, in declared order."""
    try:
        answer = criterion.evaluate({c: Trace({c}) for c in criterion.columns})
    except Exception:  # noqa: BLE001 - a user's function may do anything; then every column counts as read
        return criterion.columns
    if not isinstance(answer, Trace):
        return criterion.columns
    return tuple(c for c in criterion.columns if c in answer.columns)
