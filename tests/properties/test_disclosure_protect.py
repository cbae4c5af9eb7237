"""Rounding of disjoint groups keeps its promises for any table."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feasibility.disclosure.protect import protect


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
