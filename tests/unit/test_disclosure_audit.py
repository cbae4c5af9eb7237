"""The audit finds the leaks that are planted for it, by name and with the interval an attacker would get."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betaprime

from feasibility.disclosure.audit import AuditResult, Finding, Targets, audit, drop_until_safe
from feasibility.disclosure.facts import (
    cell_interval,
    consistent,
    exact,
    known_total,
    made,
    margin_interval,
    percentage,
    together,
)
from feasibility.disclosure.policy import POLICIES, Policy
from feasibility.errors import FeasibilityError, ReconciliationError

NHS, CMS = POLICIES["nhs"], POLICIES["cms"]


def attacked(facts, n, policy=NHS, **groups):
    """The findings by name, of an attack on groups given as rows of columns."""
    targets = Targets(list(groups.values()), tuple(groups), ("funnel",) * len(groups))
    return {f.name: f for f in audit(facts, targets, n, policy).findings}


def interval(finding):
    return finding.lo, finding.hi, finding.verdict


ENTERING, REMAINING = [True, True], [False, True]


def test_excluded_hidden_between_two_exact_numbers():
    facts = exact("funnel", ["entering", "remaining"], [ENTERING, REMAINING], [100, 97])
    found = attacked(facts, [3, 97], excluded=[True, False])
    assert interval(found["excluded"]) == (3, 3, "leaks")
    assert found["excluded"].blame == ("funnel",)


def test_excluded_hidden_between_two_rounded_numbers():
    rounded = made("funnel", ["entering", "remaining"], [ENTERING, REMAINING], ([98, 93], [102, 97]))
    # 1 to 9 holds 9 numbers and reaches the threshold of 8, but not the one of 11.
    assert attacked(rounded, [3, 97], excluded=[True, False])["excluded"].verdict == "safe"
    found = attacked(rounded, [3, 97], CMS, excluded=[True, False])
    assert interval(found["excluded"]) == (1, 9, "leaks")


def test_a_gain_of_one():
    facts = exact("only-reason", ["eligible", "eligible if waived"], [[True, False], [True, True]], [40, 41])
    assert interval(attacked(facts, [40, 1], gain=[False, True])["gain"]) == (1, 1, "leaks")


def test_two_sites_of_nobody_and_a_total_of_five():
    sites = made("strata", ["site A", "site B"], np.eye(2, dtype=bool), ([0, 0], [2, 2]))
    total = made("funnel", ["all"], [[True, True]], ([3], [7]))
    facts = together([sites, total])
    found = attacked(facts, [2, 1], A=[True, False], B=[False, True], both=[True, True])
    assert interval(found["A"]) == (1, 2, "leaks")
    assert interval(found["B"]) == (1, 2, "leaks")
    assert interval(found["both"]) == (3, 4, "leaks")
    assert set(found["A"].blame) == {"strata", "funnel"}


def test_a_known_total_is_one_more_fact():
    hidden = made("funnel", ["excluded", "remaining"], np.eye(2, dtype=bool), ([0, 90], [7, 97]))
    assert attacked(hidden, [3, 97], excluded=[True, False])["excluded"].verdict == "safe"
    found = attacked(together([hidden, known_total(100, 2)]), [3, 97], excluded=[True, False])
    assert interval(found["excluded"]) == (3, 7, "leaks")
    assert set(found["excluded"].blame) == {"known", "funnel"}


def test_two_small_cell_releases_with_one_threshold_moved():
    """Counts of 11 and more are exact in this mode, so two of them have an exact difference."""
    before = made("earlier", ["excluded", "remaining"], [[True, True, False], [False, False, True]],
                  cell_interval([103, 200], CMS))  # fmt: skip
    now = made("core", ["excluded", "remaining"], [[True, False, False], [False, True, True]],
               cell_interval([100, 203], CMS))  # fmt: skip
    assert interval(attacked(together([before, now]), [100, 3, 200], CMS, moved=[0, 1, 0])["moved"]) == (3, 3, "leaks")


def test_the_same_two_releases_with_every_cell_rounded():
    groups = [[True, True, False], [False, False, True]], [[True, False, False], [False, True, True]]
    for counts in ((105, 200), (100, 200)), ((100, 200), (105, 200)):
        both = zip(("earlier", "core"), groups, counts, strict=True)
        facts = [made(t, ["excluded", "remaining"], g, cell_interval(c, NHS)) for t, g, c in both]
        assert attacked(together(facts), [101, 3, 198], NHS, moved=[0, 1, 0])["moved"].verdict == "safe"


@pytest.mark.parametrize("base", [37, 200, 999])
def test_a_percentage_with_one_decimal_tells_every_count_up_to_999(base):
    for n in range(base + 1):
        assert percentage(f"{100 * n / base:.1f}", base, 1) == (n, n)


def test_a_percentage_of_a_protected_count_gives_the_count_away():
    fact = made("text", ["3.2 % excluded"], [[True, False]], [[x] for x in percentage("3.2", 95, 1)])
    facts = together([fact, known_total(95, 2)])
    assert interval(attacked(facts, [3, 92], excluded=[True, False])["excluded"]) == (3, 3, "leaks")
    whole = made("text", ["0 % excluded"], [[True, False]], [[x] for x in percentage("0", 1900, 0)])
    assert attacked(whole, [3, 1897], excluded=[True, False])["excluded"].verdict == "safe"


@pytest.mark.parametrize(("median", "arrivals"), [(49.9, 4), (40.2, 5), (33.7, 6), (29.0, 7), (25.5, 8)])
def test_a_median_identifies_the_arrivals(median, arrivals):
    """Months to 9 enrolled after 24 months of arrivals, Jeffreys prior: 24 times a beta prime."""

    def model(n):
        return 24 * betaprime(9, n + 0.5).median()

    told = consistent(median, model, range(1, 200), 1)
    assert told == (arrivals, arrivals)
    fact = made("forecast", ["median"], [[True, False]], [[x] for x in told])
    found = attacked(fact, [arrivals, 100], CMS, arrivals=[True, False])
    assert interval(found["arrivals"]) == (arrivals, arrivals, "leaks")


def test_a_median_in_whole_years_tells_less():
    told = consistent(3, lambda n: 2 * betaprime(9, n + 0.5).median(), range(1, 200), 0)
    assert told == (5, 6)


def test_an_output_that_no_count_gives():
    with pytest.raises(FeasibilityError, match="No count gives 12.34 with 2 decimals"):
        consistent(12.34, lambda n: n, range(20), 2)
    with pytest.raises(FeasibilityError, match="a base of at least 1 patient, got 0"):
        percentage("3.0", 0, 1)


@pytest.mark.parametrize("policy", [NHS, CMS, POLICIES["omop"], Policy("ours", base=10, threshold=7)])
def test_intervals_hold_what_rounding_can_make_of_every_count(policy):
    stand_for: dict[int, set[int]] = {}
    for n in range(120):
        if policy.every_cell or 0 < n < policy.threshold:
            down = n // policy.base * policy.base
            shown = {down} | ({down + policy.base} if n % policy.base else set())
        else:
            shown = {n}
        for value in shown:
            stand_for.setdefault(value, set()).add(n)
    for value in range(0, 100):
        if value in stand_for:
            lo, hi = cell_interval([value], policy)
            assert (int(lo[0]), int(hi[0])) == (min(stand_for[value]), max(stand_for[value]))
        else:
            with pytest.raises(ReconciliationError, match=f"{value} is no protected count"):
                cell_interval([value], policy)


@pytest.mark.parametrize("policy", [NHS, CMS, POLICIES["omop"], Policy("ours", base=10, threshold=7)])
def test_intervals_of_numbers_rounded_by_themselves(policy):
    for n in range(150):
        rounded = policy.rounded(n)
        lo, hi = margin_interval([rounded if rounded >= policy.margin_threshold else None], policy)
        assert lo[0] <= n <= hi[0]
        assert hi[0] - lo[0] <= max(policy.base - 1, policy.margin_threshold - 1)
        same = [m for m in range(300) if policy.rounded(m) == rounded] if rounded >= policy.margin_threshold else None
        assert same is None or (lo[0], hi[0]) == (min(same), max(same))
    with pytest.raises(ReconciliationError, match="not a multiple"):
        margin_interval([policy.base * 7 + 1], policy)


def test_nothing_follows_from_noise():
    noisy = POLICIES["dp"]
    for intervals in (cell_interval([-3, 50], noisy), margin_interval([None, 50], noisy)):
        assert intervals[0].tolist() == [0, 0]
        assert (intervals[1] > 2**60).all()


def test_only_truly_small_groups_are_attacked():
    facts = exact("funnel", ["a", "b", "c"], np.eye(3, dtype=bool), [0, 8, 3])
    found = attacked(facts, [0, 8, 3], none=[1, 0, 0], eight=[0, 1, 0], three=[0, 0, 1])
    assert list(found) == ["three"]


def test_a_release_that_does_not_fit_its_patients_is_a_defect():
    with pytest.raises(ReconciliationError, match="remaining .funnel.: that is not the patients' number"):
        attacked(exact("funnel", ["remaining"], [[True]], [4]), [3], all=[True])
    with pytest.raises(FeasibilityError, match="of an earlier release does not fit these patients"):
        attacked(exact("earlier", ["remaining"], [[True]], [4]), [3], all=[True])


def test_no_time_means_refused():
    policy = Policy("hasty", base=5, threshold=8, seconds=0.0)
    facts = made("strata", ["site A"], [[True, False]], ([0], [7]))
    result = audit(facts, Targets([[True, False]], ("A",), ("strata",)), [3, 4], policy)
    assert not result.passed
    assert result.unfinished[0].name == "A"
    assert "strata" in result.blame
    assert "1 not finished in time and so refused" in result.summary()


def finding(table, *blame, verdict="leaks"):
    return Finding("x", table, 3, 3, verdict, blame)


def dropping(leak_while, tables):
    """Drop until no leak is left: ``leak_while`` maps a table that must go to the findings it causes."""
    asked = []

    def attack(shown):
        asked.append(shown)
        found = [f for table, f in leak_while.items() if table in shown]
        return AuditResult(tuple(found), 10, 10)

    result, left = drop_until_safe(attack, tables)
    return [table for table, _ in result.dropped], left, asked


def test_the_last_table_an_attack_needs_is_dropped_first():
    tables = ("strata", "funnel", "failing", "overlaps")
    dropped, left, asked = dropping({"overlaps": finding("funnel", "core", "overlaps", "failing")}, tables)
    assert dropped == ["overlaps"]
    assert left == ("funnel", "failing", "strata")
    assert asked == [("funnel", "failing", "overlaps", "strata"), left]


def test_the_core_goes_from_its_last_table():
    tables = ("funnel", "only-reason", "bounds", "scenarios", "curves")
    dropped, left, _ = dropping({"scenarios": finding("core", "core")}, tables)
    assert dropped == ["curves", "scenarios"]
    assert left == ("funnel", "only-reason", "bounds")


def test_unfinished_tables_go_one_by_one():
    slow = {"strata": finding("core", "core", "failing", "strata", verdict="unfinished"),
            "failing": finding("core", "core", "failing", verdict="unfinished")}  # fmt: skip
    dropped, left, _ = dropping(slow, ("funnel", "failing", "strata"))
    assert dropped == ["strata", "failing"]
    assert left == ("funnel",)


def test_a_release_that_nothing_helps_is_refused():
    with pytest.raises(FeasibilityError, match="This release is refused: 1 small groups attacked, 1 given away"):
        dropping({"funnel": finding("funnel", "earlier", "known")}, ("funnel", "strata"))


def test_why_a_table_was_dropped_is_said():
    def attack(shown):
        return AuditResult((finding("strata", "strata"),) if "strata" in shown else (), 10, 10)

    result, _ = drop_until_safe(attack, ("funnel", "strata"))
    assert result.passed
    assert result.dropped == (("strata", "it gives a small group away"),)
    assert "strata left out (it gives a small group away)" in result.summary()
