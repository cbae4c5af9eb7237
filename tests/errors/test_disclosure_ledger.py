"""The ledger of earlier releases: never loses an entry, notices every edit, and makes the next release safe."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import feasibility as fz
from feasibility.disclosure import release as release_module
from feasibility.disclosure.attack import attack, check_small_cells
from feasibility.disclosure.ledger import Earlier, Ledger
from feasibility.disclosure.policy import POLICIES
from feasibility.disclosure.queries import Query
from feasibility.disclosure.release import Release
from feasibility.errors import FeasibilityError
from feasibility.protocol.protocol import Protocol

from ..conftest import frame

EXCLUDED = Query("excluded:I1", "funnel", fails=("I1",))
REMAINING = Query("remaining:I1", "funnel", stays=("I1",))
FAILING = Query("failing:I1", "failing", fails=("I1",))


def entry(**changes) -> Earlier:
    return Earlier(
        **(
            {
                "date": "2025-07-01", "cohort": "registry A", "index_date": "2025-06-30", "trial": "T1",
                "fingerprint": "ab" * 32, "policy": POLICIES["nhs"], "settings": {"I1": {"min_x": 5.0}},
                "core": (EXCLUDED, REMAINING), "groups": ((15, (0,)), (85, (1,))), "margins": ((FAILING, 15),),
            }
            | changes
        )
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "releases" / "ledger.json"


def test_a_new_ledger_is_empty_and_what_is_entered_comes_back(path):
    ledger = Ledger.open(path)
    assert ledger.entries == ()
    assert not path.exists()
    noisy = replace(POLICIES["dp"], epsilon=0.5)
    ledger = ledger.append(entry()).append(entry(date="2025-08-01", index_date="2025-07-31"))
    ledger.append(entry(policy=noisy, groups=((-2, (0,)), (101, (1,))), margins=()))
    again = Ledger.open(path)
    assert again.entries[0] == entry()
    assert [e.date for e in again.entries] == ["2025-07-01", "2025-08-01", "2025-07-01"]
    assert len(again.of("registry A", "2025-06-30")) == 2
    assert again.of("registry B", "2025-06-30") == ()
    assert [e.date for e in again.at_other_dates("registry A", "2025-06-30")] == ["2025-08-01"]
    assert again.epsilon_spent("registry A") == 0.5
    assert [p.name for p in path.parent.iterdir()] == ["ledger.json"]


def test_two_people_who_opened_it_at_once_both_stay_in_it(path):
    one, other = Ledger.open(path), Ledger.open(path)
    one.append(entry())
    other.append(entry(date="2025-07-02"))
    assert [e.date for e in Ledger.open(path).entries] == ["2025-07-01", "2025-07-02"]


def test_while_another_release_is_entered(path):
    ledger = Ledger.open(path).append(entry())
    lock = path.with_name("ledger.json.lock")
    lock.touch()
    with pytest.raises(FeasibilityError, match="Another release is being entered .* delete ledger.json.lock"):
        ledger.append(entry())
    lock.unlink()
    assert len(ledger.append(entry()).entries) == 2


def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch):
    ledger = Ledger.open(path).append(entry())
    before = path.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        ledger.append(entry())
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert len(ledger.append(entry()).entries) == 2


def test_a_ledger_that_was_replaced_meanwhile(path, tmp_path):
    ledger = Ledger.open(path).append(entry())
    path.unlink()
    with pytest.raises(FeasibilityError, match="was replaced since it was read"):
        ledger.append(entry())
    assert not path.exists()


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def number(content):
    content["entries"][0]["groups"][0]["n"] = 20


def threshold(content):
    content["entries"][1]["settings"]["I1"]["min_x"] = 4.0


def first_gone(content):
    del content["entries"][0]


def swapped(content):
    content["entries"].reverse()


def last_gone(content):
    del content["entries"][-1]


def nothing_left(content):
    content["entries"].clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (number, "entry 1 of 2 was changed, moved or taken out"),
        (threshold, "entry 2 of 2 was changed, moved or taken out"),
        (first_gone, "entry 1 of 1 was changed, moved or taken out"),
        (swapped, "entry 1 of 2 was changed, moved or taken out"),
        (last_gone, "entries are missing at the end"),
        (nothing_left, "entries are missing at the end"),
        (lambda content: content.update(format="feasibility ledger 9"), "this is 'feasibility ledger 9', expected"),
        (lambda content: content.pop("seal"), "this is no complete ledger"),
        (lambda content: content.update(entries=7), "this is no complete ledger"),
        (lambda content: content["entries"].insert(0, 7), "entry 1 of 3 was changed"),
    ],
)
def test_an_edited_ledger_is_refused(path, change, message):
    Ledger.open(path).append(entry()).append(entry(date="2025-07-02"))
    edited(path, change)
    with pytest.raises(FeasibilityError, match=message):
        Ledger.open(path)


def test_half_a_file_or_another_one_is_refused(path):
    ledger = Ledger.open(path).append(entry())
    whole = path.read_bytes()
    for part in (b"", whole[: len(whole) // 2], b"date,n\n2025-07-01,5\n", b"[]", b"\xff\xfe\x00"):
        path.write_bytes(part)
        with pytest.raises(FeasibilityError, match="no complete ledger|cannot be read"):
            Ledger.open(path)
        with pytest.raises(FeasibilityError, match="no complete ledger|cannot be read"):
            ledger.append(entry())
        assert path.read_bytes() == part


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": ((13, (0,)), (85, (1,)))}, "takes protected counts only. 13 is no protected count: the base is 5"),
        ({"policy": POLICIES["cms"], "groups": ((3, (0,)), (97, (1,))), "margins": ()}, "3 is no protected count"),
        ({"margins": ((FAILING, 13),)}, "takes protected counts only. A rounded number is not a multiple of 5"),
        ({"date": "1 July"}, r"needs date as year-month-day \(2025-06-30\), got '1 July'"),
        ({"index_date": None}, "needs index_date as year-month-day"),
    ],
)
def test_only_what_may_leave_is_entered(changes, message):
    with pytest.raises(FeasibilityError, match=message):
        entry(**changes)


def test_the_small_cell_policies_need_a_ledger_and_five_small_groups():
    with pytest.raises(FeasibilityError, match="two releases of the same patients give their exact difference. Give"):
        check_small_cells(POLICIES["cms"], [3] * 9, ledger_given=False)
    with pytest.raises(FeasibilityError, match="'omop' rounds small groups only, and this release has fewer than 5"):
        check_small_cells(POLICIES["omop"], [1, 2, 3, 4, 5, 0, 900], ledger_given=True)
    check_small_cells(POLICIES["omop"], [1, 2, 3, 4, 4, 0, 900], ledger_given=True)
    for name in ("nhs", "dp"):
        check_small_cells(POLICIES[name], [1], ledger_given=False)


@fz.inclusion("I1", "above")
def c1(x1, *, min_x1: float = 1.0):
    return x1 > min_x1


@fz.inclusion("I2", "above")
def c2(x2, *, min_x2: float = 1.0):
    return x2 > min_x2


@fz.inclusion("I3", "above")
def c3(x3, *, min_x3: float = 1.0):
    return x3 > min_x3


@fz.exclusion("E1", "above")
def e1(x4, *, max_x4: float = 9.0):
    return x4 > max_x4


PROTOCOL = Protocol("T1", "Four thresholds", [c1, c2, c3, e1])
SHOWN = ("funnel", "only-reason", "bounds")


@pytest.fixture(scope="module")
def cohort():
    """400 patients; exactly three have x1 between 0.9 and 1, and no other problem."""
    rng = np.random.default_rng(3)
    values = rng.uniform(0, 10, (400, 4)).round(3)
    values[(values[:, 0] > 0.9) & (values[:, 0] <= 1), 0] = 0.5
    values[:3] = [0.95, 5.0, 5.0, 5.0]
    holes = rng.random((400, 4)) < 0.05
    holes[:3] = False
    columns = {f"x{i + 1}": ("Float64", *[None if h else v for v, h in zip(values[:, i], holes[:, i], strict=True)])
               for i in range(4)}  # fmt: skip
    return frame(**columns)


def collected(cohort, policy, protocol=PROTOCOL, earlier=(), **options):
    return Release.collect(
        cohort, protocol, policy, scenarios={}, grids={}, earlier=earlier, **({"tables": SHOWN} | options)
    )


def test_a_second_small_cell_release_with_a_moved_threshold_is_caught(cohort, monkeypatch):
    before, moved = collected(cohort, "cms"), PROTOCOL.with_thresholds(min_x1=0.9)
    alone = collected(cohort, "cms", moved)
    # Each is safe alone, but counts of large groups are exact, and so is their difference: three patients.
    assert alone.audit.passed
    assert alone.core.count("remaining:I1") - before.core.count("remaining:I1") == 3
    found = []

    def watched(*arguments):
        found.append(attack(*arguments))
        return found[-1]

    monkeypatch.setattr(release_module, "attack", watched)
    with pytest.raises(FeasibilityError, match="'cms'|refused"):
        collected(
            cohort, "cms", moved, earlier=(before.entry(dated="2025-07-01", cohort="A", index_date="2025-06-30"),)
        )
    leaks = {f.name: (f.lo, f.hi) for f in found[0].leaks}
    assert leaks["more than confirmed:E1 of 2025-07-01"] == (3, 3)
    assert leaks["less than only_reason:I1 of 2025-07-01"] == (3, 3)
    assert "earlier" in found[0].blame


def test_a_second_release_with_every_group_rounded_passes(cohort):
    first = collected(cohort, "nhs").entry(dated="2025-07-01", cohort="A", index_date="2025-06-30")
    second = collected(cohort, "nhs", PROTOCOL.with_thresholds(min_x1=0.9), earlier=(first,))
    assert second.audit.passed
    assert "funnel" not in second.dropped


def test_the_same_release_again_tells_nothing_new(cohort):
    first = collected(cohort, "cms")
    kept = first.entry(dated="2025-07-01", cohort="A", index_date="2025-06-30")
    again = collected(cohort, "cms", earlier=(kept,))
    assert again.to_json() == first.to_json()


def test_a_ledger_of_other_patients_is_noticed(cohort):
    first = collected(cohort, "cms").entry(dated="2025-07-01", cohort="A", index_date="2025-06-30")
    with pytest.raises(FeasibilityError, match="of an earlier release does not fit these patients"):
        collected(cohort.iloc[:350], "nhs", earlier=(first,))


def test_the_entry_of_a_release_holds_what_was_released(cohort, path):
    release = collected(cohort, "nhs", tables=(*SHOWN, "failing"))
    kept = release.entry(dated="2025-07-01", cohort="A", index_date="2025-06-30")
    Ledger.open(path).append(kept)
    back = Ledger.open(path).entries[0]
    assert back.fingerprint == release.fingerprint
    assert sorted(n for n, _ in back.groups) == sorted(release.core.n.tolist())
    assert {q.name: n for q, n in back.margins}["failing:I2"] == release.margins["failing"].frame.n_failing["I2"]
    assert all(n % 5 == 0 for n, _ in back.groups)
    renamed = back.renamed({"I1": "I1|min_x1=1.0"})
    assert "I1|min_x1=1.0" in renamed.settings
    assert all("I1" not in q.columns for q in renamed.queries)
