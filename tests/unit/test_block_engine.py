"""The parts of the block engine, each against one plain line of numpy or pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import feasibility as fz
from feasibility.engine import tally, texts
from feasibility.engine.readers import Pandas, Prepared
from feasibility.engine.tally import Tally, add_up, count_codes
from feasibility.engine.transpose import transposed

STRING = pd.StringDtype("python")


@pytest.mark.parametrize("rows", [64, 64 * 2049, 64 * 5000])
def test_bitmaps_become_a_word_a_patient(rows):
    bits = np.random.default_rng(rows).random((64, rows)) < 0.3
    planes = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
    before, out = planes.copy(), np.empty(rows, dtype=np.uint64)
    transposed(planes, out)
    expected = (bits.astype(np.uint64) << np.arange(64, dtype=np.uint64)[:, None]).sum(axis=0, dtype=np.uint64)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(planes, before)


def counted(codes: np.ndarray, n=None) -> pd.Series:
    frame = pd.DataFrame(codes).assign(n=1 if n is None else n)
    return frame.groupby(list(range(codes.shape[1])))["n"].sum()


@pytest.mark.parametrize(("criteria", "words"), [(5, 1), (27, 1), (28, 1), (32, 1), (40, 2), (120, 4)])
def test_parts_are_added_up_whatever_their_width(criteria, words):
    rng = np.random.default_rng(criteria)
    second = 8 * -(-criteria // 8)
    each = np.zeros((300, words), dtype=np.uint64)
    for bit in [*range(criteria), *range(second, second + criteria)]:
        each[:, bit // 64] |= (rng.random(300) < 0.2).astype(np.uint64) << np.uint64(bit % 64)
    often = np.r_[np.full(5, 400.0), np.ones(295)]  # some far beyond what fits beside a code of 27 criteria
    parts = [each[rng.choice(300, 30_000, p=often / often.sum())] for _ in range(4)]
    with Tally(criteria) as adding:
        for part in parts:
            adding.add(part.copy())
        codes, n = adding.result()
    pd.testing.assert_series_equal(counted(codes, n), counted(np.concatenate(parts)))
    assert len(codes) == len(np.unique(codes, axis=0))


@pytest.mark.parametrize("mix", [tally.MIX, np.uint64(0)], ids=["hashed", "every hash alike"])
@pytest.mark.parametrize("weighted", [True, False])
def test_codes_of_several_words_are_counted_even_where_hashes_meet(mix, weighted, monkeypatch):
    monkeypatch.setattr(tally, "MIX", mix)
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 4, (5_000, 3)).astype(np.uint64) << np.uint64(50)
    n = rng.integers(1, 9, len(codes)) if weighted else None
    found, times = count_codes(codes.copy(), n)
    pd.testing.assert_series_equal(counted(found, times), counted(codes, n))
    assert len(found) == len(np.unique(codes, axis=0))


def test_a_count_that_is_a_multiple_of_what_fits_is_not_lost():
    """Its lower part is zero, so that only the part added afterwards counts it."""
    one, other = (np.array([[k]], dtype=np.uint64) for k in (1, 2))
    codes, n = add_up([(one, np.array([1 << 54])), (np.concatenate([one, other]), np.array([1, 3]))], 5)
    assert dict(zip(codes[:, 0].tolist(), n.tolist(), strict=True)) == {1: (1 << 54) + 1, 2: 3}


def test_counting_without_patients_finds_nothing():
    codes, n = count_codes(np.zeros((0, 1), dtype=np.uint64))
    assert (len(codes), len(n)) == (0, 0)


def rails(answer, n: int) -> list:
    bits = (
        np.broadcast_to(np.uint8(255 * r if isinstance(r, bool) else r), -(-n // 8)) for r in (answer.yes, answer.no)
    )
    yes, no = (np.unpackbits(b, count=n, bitorder="little") == 1 for b in bits)
    return [True if y else False if x else pd.NA for y, x in zip(yes, no, strict=True)]


def fresh(text: str) -> str:
    """An equal string that is another object."""
    return "".join(list(text))


TEXTS = {
    "few strings, shared": ["CR", None, "PR", "CR"] * 300,
    "equal strings, not shared": [
        None if w is None else fresh(w) for w in ["remission", None, "relapse", "none"] * 300
    ],
    "many different ones": [f"code {i}" if i % 7 else None for i in range(1200)],
    "one appears late": ["CR"] * 1100 + ["PR", None] * 50,
    "nothing known": [None] * 1200,
}


@pytest.mark.parametrize("how", [Pandas, Prepared])
@pytest.mark.parametrize("cells", TEXTS.values(), ids=TEXTS)
def test_coded_text_is_compared_as_pandas_does(cells, how):
    column = pd.Series(pd.array(cells, dtype=STRING))
    frame = pd.DataFrame({"x": column})
    reader = how(frame if how is Pandas else fz.prepare(frame), ["x"])
    for word in ("CR", "PR", "relapse", "code 3", "absent"):
        found = [
            value
            for block in (slice(0, 64), slice(64, 1152), slice(1152, 1200))
            for value in rails(reader.columns(["x"], block)["x"] == word, block.stop - block.start)
        ]
        assert found == (column == word).tolist()


def test_only_columns_of_many_strings_are_numbered(monkeypatch):
    def refuse(_):
        raise AssertionError("numbered")

    few, many = (Pandas(pd.DataFrame({"x": pd.array(TEXTS[k], dtype=STRING)}), ["x"])
                 for k in ("few strings, shared", "many different ones"))  # fmt: skip
    monkeypatch.setattr(texts.pd, "factorize", refuse)
    few.columns(["x"], slice(0, 1200))
    with pytest.raises(AssertionError, match="numbered"):
        many.columns(["x"], slice(0, 1200))
