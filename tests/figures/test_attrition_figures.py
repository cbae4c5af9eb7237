"""The funnel, the impact bars and the flow: what is drawn is what the table says."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from feasibility.errors import FeasibilityError
from feasibility.figures import plot_attrition, plot_flow, plot_impact
from feasibility.figures.style import count


def test_bars_are_as_long_as_the_numbers(attrition, bar_lengths):
    ax = plot_attrition(attrition)
    assert bar_lengths(ax, "cohort") == [12_480]
    assert bar_lengths(ax, "confirmed") == attrition["n_confirmed"].tolist()
    assert bar_lengths(ax, "undetermined") == attrition["n_undetermined"].tolist()
    assert bar_lengths(ax, "excluded") == attrition["n_excluded"].tolist()


def test_segments_stand_end_to_end(attrition):
    ax = plot_attrition(attrition)
    segments = [p for c in ax.containers if c.get_label() == "excluded" for p in c.patches]
    ends = [p.get_x() + p.get_width() for p in segments]
    assert ends == pytest.approx(attrition["n_entering"].astype(float).tolist())


def test_every_row_has_id_name_and_numbers(attrition, all_texts):
    written = all_texts(plot_attrition(attrition))
    for key, row in attrition.iterrows():
        assert key in written
        assert count(row.n_remaining) in written
        assert count(row.n_confirmed) in written
        assert ("0" if row.n_excluded == 0 else f"−{count(row.n_excluded)}") in written
    assert "Hepatitis A" in written
    assert "Inclusion criteria, must be met" in written


@pytest.mark.parametrize("labels", ["name", "reason"])
def test_nothing_overlaps(attrition, long_attrition, readable, labels):
    readable(plot_attrition(attrition, labels=labels))
    readable(plot_attrition(long_attrition, labels=labels))


def test_height_grows_with_rows(attrition):
    short = plot_attrition(attrition.head(5)).get_figure().get_figheight()
    assert plot_attrition(attrition).get_figure().get_figheight() > 2 * short


def test_headings_are_left_out_of_a_mixed_order(attrition, all_texts):
    mixed = attrition.loc[["I4", "E7", "I3", "E6", "I5.1", "E5.1"]]
    assert "Inclusion criteria, must be met" not in all_texts(plot_attrition(mixed))


def test_title_says_the_result_and_can_be_left_out(attrition, all_texts):
    last = attrition.iloc[-1]
    confirmed, possible = count(last.n_confirmed), count(last.n_remaining)
    title = f"Of 12,480 patients, {confirmed} are confirmed eligible and {possible} are possible"
    assert title in all_texts(plot_attrition(attrition))
    assert title not in all_texts(plot_attrition(attrition, title=""))


def test_own_axes_are_used(attrition):
    ax = Figure(figsize=(9, 9)).add_axes((0.4, 0.1, 0.3, 0.7))
    assert plot_attrition(attrition, ax) is ax


def test_dollar_signs_are_text(attrition, all_texts):
    assert "Costs $5 or $6" in all_texts(plot_attrition(attrition.head(2).assign(name="costs $5 or $6")))


def test_one_patient_and_nobody(attrition, readable):
    nobody = attrition.assign(**{c: 0 for c in attrition.columns if c.startswith("n_")})
    readable(plot_attrition(nobody))
    readable(plot_flow(nobody))


def test_an_axes_is_a_picture_in_a_notebook(attrition):
    assert plot_attrition(attrition.head(3))._repr_png_().startswith(b"\x89PNG")


def test_wrong_tables_are_named(attrition):
    with pytest.raises(FeasibilityError, match="no column 'n_excluded'. Did you mean 'n_exclude'"):
        plot_attrition(attrition.rename(columns={"n_excluded": "n_exclude"}))
    with pytest.raises(FeasibilityError, match="no rows"):
        plot_attrition(attrition.iloc[:0])
    with pytest.raises(FeasibilityError, match="got dict"):
        plot_attrition({})


def test_impact_bars_are_as_long_as_the_numbers(impact, bar_lengths):
    ax = plot_impact(impact, sort="protocol")
    assert bar_lengths(ax, "shapley") == pytest.approx(impact["shapley"].tolist())
    whole = [a + b for a, b in zip(bar_lengths(ax, "shapley"), bar_lengths(ax, "failing"), strict=True)]
    assert whole == pytest.approx(impact["n_failing"].tolist())
    assert bar_lengths(ax, "confirmed") == impact["gain_confirmed"].tolist()
    assert bar_lengths(ax, "undetermined") == impact["gain_possible"].tolist()


@pytest.mark.parametrize(
    ("sort", "column"), [("shapley", "shapley"), ("gain", "gain_possible"), ("failing", "n_failing")]
)
def test_impact_is_sorted(impact, all_texts, sort, column):
    written = [t for t in all_texts(plot_impact(impact, sort=sort)) if t in impact.index]
    assert impact.loc[written, column].is_monotonic_decreasing


def test_impact_top_and_title(impact, all_texts):
    written = all_texts(plot_impact(impact, top=4))
    assert sum(t in impact.index for t in written) == 4
    best = impact["gain_possible"].idxmax()
    assert any(t.startswith(f"Waiving {best} alone") for t in written)
    nothing = impact.assign(gain_possible=0, gain_confirmed=0)
    assert any("bring no patient back" in t for t in all_texts(plot_impact(nothing)))


def test_impact_unknown_sort(impact):
    with pytest.raises(FeasibilityError, match="Did you mean 'shapley'"):
        plot_impact(impact, sort="shaply")


def test_impact_does_not_overlap(impact, long_impact, readable):
    readable(plot_impact(impact))
    readable(plot_impact(long_impact, sort="protocol"))


def test_flow_counts_every_patient_once(attrition, all_texts):
    written = all_texts(plot_flow(attrition))
    last = attrition.iloc[-1]
    for n in (12_480, last.n_remaining, last.n_confirmed, last.n_undetermined):
        assert f"n = {count(n)}" in written
    kinds = attrition.groupby("kind")["n_excluded"].sum()
    assert f"n = {count(kinds['inclusion'])}" in written
    assert f"n = {count(kinds['exclusion'])}" in written
    clauses = attrition["n_excluded"].groupby([i.split(".")[0] for i in attrition.index], sort=False).sum()
    for clause, n in clauses.items():
        assert clause in written
        assert count(n) in written


def test_flow_uses_clause_names(attrition, all_texts):
    assert "Infections" in all_texts(plot_flow(attrition, clause_names={"E1": "Infections"}))


def test_flow_boxes_hold_their_text(attrition, long_attrition, readable):
    for table in (attrition, long_attrition, attrition.head(3), pd.concat([attrition.tail(4), attrition.head(4)])):
        readable(plot_flow(table))
