"""Rounding of disjoint groups keeps its promises for any table."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feasibility.disclosure.protect import collapsed, groups_of, protect
from feasibility.disclosure.queries import changed_queries, funnel_queries, reason_queries
from feasibility.patterns import pack


@st.composite
def tables(draw):
    size, margins = draw(st.integers(1, 30)), draw(st.integers(1, 12))
    groups = draw(arrays(np.int64, size, elements=st.integers(0, 60)))
    return groups, draw(arrays(np.bool_, (size, margins)))


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from([2, 3, 5, 10]))
def test_every_cell_is_a_multiple_within_one_base_and_the_total_is_nearest(table, base):
    groups, margins = table
    made = protect(groups, margins, base)
    assert (made % base == 0).all()
    assert (np.abs(made - groups) < base).all()
    assert (made[groups == 0] == 0).all()
    assert abs(made.sum() - groups.sum()) <= base / 2


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from([5, 11]))
def test_small_cells_alone_are_rounded_in_small_cell_mode(table, k):
    groups, margins = table
    made = protect(groups, margins, k, k)
    small = (groups > 0) & (groups < k)
    assert set(made[small].tolist()) <= {0, k}
    assert (made[~small] == groups[~small]).all()
    assert abs(made.sum() - groups.sum()) <= k / 2


@settings(max_examples=60, deadline=None)
@given(tables())
def test_the_order_of_the_groups_changes_no_margin_much(table):
    """The same patients in another order: still within the bound that holds for every margin."""
    groups, margins = table
    order = np.random.default_rng(0).permutation(len(groups))
    made = protect(groups[order], margins[order], 5)
    error = np.abs((made - groups[order]) @ margins[order])
    assert (error <= 4 * margins.sum(axis=0)).all()


@st.composite
def patterns_and_changes(draw):
    k, rows = draw(st.integers(2, 7)), draw(st.integers(1, 60))
    ids = [f"C{i}" for i in range(k)]
    bits = draw(arrays(np.int8, (rows, k + 1), elements=st.integers(0, 2)))
    n = draw(arrays(np.int64, rows, elements=st.integers(1, 9)))
    moved = draw(st.integers(0, k - 1))
    waived = draw(st.integers(0, k - 1))
    changes = [("moved", [*(c for i, c in enumerate(ids) if i != moved), f"{ids[moved]}|x=1"]),
               ("waived", [c for i, c in enumerate(ids) if i != waived])]  # fmt: skip
    return ids, [*ids, f"{ids[moved]}|x=1"], bits, n, changes


@settings(max_examples=150, deadline=None)
@given(patterns_and_changes())
def test_collapsing_patterns_changes_no_answer(drawn):
    ids, columns, bits, n, changes = drawn
    failed, unknown = (pack([bits[:, i] == s for i in range(len(columns))], len(bits)) for s in (1, 2))
    queries = [*funnel_queries(ids), *reason_queries(ids)]
    for name, kept in changes:
        queries += changed_queries(name, kept, "scenarios")
    bound = [q.bind(columns) for q in queries]
    expected = groups_of(bound, failed, unknown, n)
    made = groups_of(bound, *collapsed(ids, queries, failed, unknown, n))
    assert made[0].tolist() == expected[0].tolist()
    assert made[1].tolist() == expected[1].tolist()
