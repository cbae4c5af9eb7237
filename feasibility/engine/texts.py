"""Coded text in pandas, compared without hashing a string for each patient.

A column of codes holds few distinct Python strings, each referred to many times. So the references are compared, as
whole numbers; what a reference says is looked up once. Columns with many distinct strings are numbered by pandas.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.engine.compact import NotCompactError, Tri, _Column
from feasibility.engine.packed import Labels, pack, unpack

FEW = 24
"""Distinct references up to which comparing each of them beats numbering the strings."""


class Words(_Column):
    """One bitmap a distinct text."""

    __slots__ = ("where", "known")
    __hash__ = None

    def __init__(self, where: dict, known):
        self.where, self.known = where, known

    def __eq__(self, other):
        if not isinstance(other, str):
            raise NotCompactError(f"a code cannot be compared with {type(other).__name__}")
        yes = self.where.get(other)
        return Tri(False, self.known) if yes is None else Tri(yes, self.known ^ yes)

    def __ne__(self, other):
        return ~(self == other)


class Texts:
    """A text column; ``block`` gives its patients of one block."""

    def __init__(self, array):
        self._array = array
        self._objects = np.ascontiguousarray(array.to_numpy(dtype=object))
        self._references = np.frombuffer(self._objects, dtype=np.intp) if len(array) else np.zeros(0, dtype=np.intp)
        self._texts: dict[int, object] = {}
        self._numbered = None

    def block(self, block: slice):
        if self._numbered is None:
            found = self._compared(self._references[block], self._objects[block])
            if found is not None:
                return found
            codes, words = pd.factorize(self._array)
            self._numbered = codes, {str(text): i for i, text in enumerate(words)}
        codes, number_of = self._numbered
        return Labels(codes[block], pack(codes[block] >= 0), number_of)

    def _compared(self, references, objects) -> Words | None:
        """Each known reference compared with all; None where there are too many."""
        n, where, unknown = len(references), {}, None
        seen = np.zeros(-(-n // 8), dtype=np.uint8)
        done: set[int] = set()
        while True:
            for reference, text in self._texts.items():
                if reference in done:
                    continue
                done.add(reference)
                bits = pack(references == reference)
                seen |= bits
                if isinstance(text, str):
                    where[text] = where[text] | bits if text in where else bits
                else:
                    unknown = bits if unknown is None else unknown | bits
            new = np.flatnonzero(~unpack(seen, n))
            if not len(new):
                return Words(where, seen if unknown is None else seen ^ unknown)
            distinct, first = np.unique(references[new], return_index=True)
            if len(distinct) + len(self._texts) > FEW:
                return None
            self._texts |= {int(r): objects[new[i]] for r, i in zip(distinct, first, strict=True)}
