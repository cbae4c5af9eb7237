"""Overlap, completeness, assessability, strata and demographics."""

import numpy as np
import pandas as pd
import pytest

from feasibility.errors import FeasibilityError
from feasibility.figures import (
    plot_assessability,
    plot_attrition_by,
    plot_completeness,
    plot_demographics,
    plot_overlap,
)
from feasibility.figures.style import count


@pytest.fixture
def completeness():
    return pd.DataFrame(
        {
            "known": [100, 60, 0],
            "not recorded": [0, 30, 0],
            "too old": [0, 10, 0],
            "never used": 0,
            "not in the file": [0, 0, 100],
        },
        index=["age_years", "lvef_min_pct", "a_very_long_column_name_that_needs_more_than_one_line"],
    )


@pytest.fixture
def matrix():
    return pd.DataFrame(
        [
            ("I1", "inclusion", "refractory AML, active leukemia", "yes", 900, 100),
            ("I2", "inclusion", "positive surface expression of EX02 " * 3, "no", 0, 0),
            ("I6", "inclusion", "妊娠试验阴性，并同意在试验期间采取有效避孕措施直至末次随访", "partly", 996, 4),
            ("E8", "exclusion", "investigator", "no", 0, 0),
        ],
        columns=["clause", "kind", "name", "assessable", "n_known", "n_unknown"],
    ).set_index("clause")


def test_overlap_bars_and_dots(overlap, attrition, readable):
    excluded = int(attrition["n_excluded"].sum())
    ax = plot_overlap(overlap, names=attrition["name"], total=excluded, top=12)
    upper, lower = ax.child_axes
    heights = [p.get_height() for c in upper.containers for p in c.patches]
    assert heights == overlap["n"].head(12).tolist()
    big = [c for c in lower.collections if c.get_sizes()[0] > 20]
    assert [len(c.get_offsets()) for c in big] == [len(key) for key in overlap.index[:12]]
    readable(ax)


def test_overlap_rows_stand_in_protocol_order(overlap, attrition, all_texts):
    ids = [t for t in all_texts(plot_overlap(overlap, names=attrition["name"])) if t in attrition.index]
    assert ids == [i for i in attrition.index if i in ids]


def test_overlap_reads_joined_texts(all_texts):
    table = pd.DataFrame({"n": [5, 3, 2]}, index=["I4", "I4 + E7", "E7,I3"])
    ax = plot_overlap(table)
    assert {"I4", "E7", "I3", "5", "3", "2"} <= set(all_texts(ax))


def test_overlap_of_many_large_numbers(long_attrition, long_criteria, readable):
    ids = [c[0] for c in long_criteria]
    table = pd.DataFrame(
        {"n": [1_234_567 - 50_000 * i for i in range(20)]},
        index=pd.Index([tuple(ids[i : i + 1 + i % 4]) for i in range(20)], tupleize_cols=False),
    )
    readable(plot_overlap(table, names=long_attrition["name"], top=20))


def test_completeness_shares_add_up(completeness, bar_lengths, all_texts, readable):
    ax = plot_completeness(completeness)
    assert bar_lengths(ax, "known") == [1.0, 0.6, 0.0]
    assert bar_lengths(ax, "too old") == pytest.approx([0.0, 0.1, 0.0])
    assert bar_lengths(ax, "not in the file") == [0.0, 0.0, 1.0]
    written = all_texts(ax)
    assert "never used" not in written
    assert {"known", "not recorded", "too old", "not in the file", "60\u00a0%", "40"} <= set(written)
    readable(ax)


def test_completeness_sorted_emptiest_first(completeness, all_texts):
    written = all_texts(plot_completeness(completeness, sort=True))
    assert written.index("lvef_min_pct") < written.index("age_years")


def test_completeness_of_sixty_columns(readable):
    table = pd.DataFrame(
        {"known": range(60), "not recorded": range(60, 0, -1)}, index=[f"days_since_something_{i}" for i in range(60)]
    )
    readable(plot_completeness(table))


def test_assessability(matrix, bar_lengths, all_texts, readable):
    ax = plot_assessability(matrix)
    assert bar_lengths(ax, "known") == pytest.approx([0.9, 0.996])
    assert bar_lengths(ax, "unknown") == pytest.approx([0.1, 0.004])
    assert bar_lengths(ax, "not assessable") == [1, 1]
    written = all_texts(ax)
    assert "Of 4 clauses the data can assess 1 in full, 1 in part and 2 not at all" in written
    assert "0.4\u00a0%" in written
    readable(ax)


@pytest.fixture
def by_site(attrition):
    """Six sites, one of them empty, one with a long name."""
    names = [
        "Hefei",
        "Nanjing Drum Tower",
        "上海瑞金医院",
        "Wuhan",
        "A very long name of a hospital far away in the west",
    ]
    counts = [c for c in attrition.columns if c.startswith("n_")]
    parts = {name: attrition.assign(**attrition[counts] // (i + 1)) for i, name in enumerate(names)}
    parts["Empty"] = attrition.assign(**{c: 0 for c in counts})
    return pd.concat(parts, names=["site", "criterion"])


def test_strata_have_one_panel_each(by_site, attrition, readable, all_texts):
    ax = plot_attrition_by(by_site)
    assert len(ax.child_axes) == 6
    first = ax.child_axes[0]
    confirmed = [p.get_width() for c in first.containers if c.get_label() == "confirmed" for p in c.patches]
    assert confirmed == pytest.approx((attrition["n_confirmed"].astype(float) / 12_480).tolist())
    written = all_texts(ax)
    assert "上海瑞金医院" in written
    assert count(attrition.iloc[-1].n_remaining) in written
    readable(ax)


def test_strata_need_two_levels(attrition):
    with pytest.raises(FeasibilityError, match="two levels"):
        plot_attrition_by(attrition)


def test_demographics_dots(attrition, readable, all_texts):
    values = np.linspace(-0.3, 0.3, len(attrition))
    table = pd.DataFrame({"age": values, "female": 0.01, "unknown": np.nan}, index=attrition.index)
    ax = plot_demographics(table, names=dict(attrition["name"]))
    assert len(ax.child_axes) == 3
    near, far = ax.child_axes[0].collections[-2:]
    assert len(near.get_offsets()) == (np.abs(values) <= 0.1).sum()
    assert len(far.get_offsets()) == (np.abs(values) > 0.1).sum()
    assert "Patients left at the end differ from all patients in: age" in all_texts(ax)
    readable(ax)


def test_overlap_says_what_solid_and_pale_mean(overlap, attrition, all_texts):
    written = all_texts(plot_overlap(overlap, names=attrition["name"]))
    assert "excluded by one criterion alone" in written
    assert any(t.startswith("excluded by several together") for t in written)


def test_what_does_not_apply_is_no_gap(all_texts, bar_lengths, readable):
    table = pd.DataFrame(
        {"known": [30, 100], "not applicable": [60, 0], "missing": [10, 0]}, index=["pregnancy_test", "age_years"]
    )
    ax = plot_completeness(table)
    assert "75\u00a0%" in all_texts(ax)
    assert bar_lengths(ax, "known") == [0.3, 1.0]
    assert bar_lengths(ax, "not applicable") == [0.6, 0.0]
    (missing,) = [c.patches[0] for c in ax.containers if c.get_label() == "missing"][:1]
    assert missing.get_hatch() == "/////"
    readable(ax)


def test_variables_and_the_cut_off_are_named(all_texts):
    index = pd.MultiIndex.from_tuples(
        [("I4", "age_years", "mean"), ("I4", "site_id", "a"), ("I4", "site_id", "b"), ("I4", "site_id", "east campus")],
        names=["criterion", "variable", "level"],
    )
    written = all_texts(plot_demographics(pd.DataFrame({"smd_from_all": [0.2, 0.0, 0.1, -0.3]}, index=index)))
    assert "Age" in written
    assert any(t.replace("\n", " ") == "Site: east campus" for t in written)
    assert any("grey band: within ±0.1" in t for t in written)
