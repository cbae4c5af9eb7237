"""``feasibility report``: what leaves is protected, entered in the ledger, and refused where it cannot be."""

from __future__ import annotations

import json
import re
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import feasibility as fz
from feasibility.cli import app
from feasibility.errors import FeasibilityError
from feasibility.protocol.criterion import inclusion
from feasibility.protocol.loading import trial_module

SMALL = ("--formats", "html", "--grid", "min_platelets=20", "--date", "2026-01-31")


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("cohort") / "cohort.parquet"
    fz.write_cohort(trial_module("NCT06642025").synthetic(1503, seed=2, index_date="2025-06-30").observed, path)
    return path


@pytest.fixture(scope="module")
def made(table, tmp_path_factory):
    """One report with a ledger, and what the command printed."""
    folder = tmp_path_factory.mktemp("report")
    done = run("report", table, "-t", "NCT06642025", "-o", folder / "ours", *SMALL, "--ledger", folder / "ledger.json")
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_the_files_are_there_and_the_page_names_the_hash_of_what_was_released(made):
    import hashlib

    folder, printed = made
    released = (folder / "ours-release.json").read_bytes()
    page = (folder / "ours.html").read_text(encoding="utf-8")
    assert hashlib.sha256(released).hexdigest() in page
    assert "small groups attacked, 0 given away" in " ".join(printed.split())
    assert "these are not patients" in printed


def test_no_exact_count_is_in_the_page_or_the_released_file(made, table):
    """1,503 patients, and every exact number of the funnel that is no multiple of 5."""
    folder, _ = made
    protocol = fz.load_trial("NCT06642025")
    funnel = fz.attrition(fz.screen(fz.read_cohort(table, protocol.columns), protocol))
    exact = {int(n) for n in funnel.select_dtypes("number").to_numpy().ravel() if n % 5 and n > 150}
    assert 1503 in exact
    assert len(exact) > 20
    page = (folder / "ours.html").read_text(encoding="utf-8")
    text = re.sub(r"(?s)<(script|style|svg)\b.*?</\1>|<[^>]+>|data:[^\"']+", " ", page)
    printed = {
        int(n.replace(",", "")) for n in re.findall(r"(?<![\d.,])\d{1,3}(?:,\d{3})+|(?<![\d.,])\d{3,4}(?![\d.,])", text)
    }
    assert {1505, 1500} & printed, "the protected total is printed"
    assert not printed & exact - {178, 200, 2025, 2026}, "limits of the protocol and years are no counts"
    groups = json.loads((folder / "ours-release.json").read_text())["groups"]
    assert {g["n"] % 5 for g in groups} == {0}


@inclusion("I1", "platelets > 30")
def platelets(platelets_10e9_l, *, min_platelets: Annotated[float, "10*9/L"] = 30):
    """Latest value."""
    return platelets_10e9_l > min_platelets


@inclusion("I2", "age")
def age(age_years, *, max_age: Annotated[int, "a"] = 70):
    """Completed years."""
    return age_years <= max_age


TINY = fz.Protocol("TINY", "Two criteria", [platelets, age])


def tiny_report(folder, name, protocol=TINY, **options):
    rng = np.random.default_rng(5)
    values = pd.Series(rng.normal(60, 30, 400).round()).mask(rng.random(400) < 0.1)
    years = pd.Series(rng.integers(40, 90, 400))
    cohort = pd.DataFrame({"platelets_10e9_l": values.astype("Float64"), "age_years": years.astype("Int64")})
    return fz.sponsor_report(
        cohort, protocol, folder / name, formats=["html"], ledger=folder / "ledger.json", index_date="2025-06-30",
        dated="2026-01-31", **options,
    )  # fmt: skip


def test_the_same_report_again_is_one_entry_in_the_ledger(tmp_path):
    first, again = tiny_report(tmp_path, "first"), tiny_report(tmp_path, "again")
    assert len(fz.Ledger.open(tmp_path / "ledger.json").entries) == 1
    assert [path.suffix for path in first.files] == [".json", ".html"]
    for one, other in zip(first.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_moved_threshold_is_attacked_together_with_the_release_before(tmp_path):
    tiny_report(tmp_path, "first")
    moved = tiny_report(tmp_path, "moved", TINY.with_thresholds(min_platelets=32))
    entries = fz.Ledger.open(tmp_path / "ledger.json").entries
    assert len(entries) == 2
    assert entries[1].settings["I1"]["min_platelets"] == 32
    assert moved.release.audit.passed
    alone = tiny_report(tmp_path / "other", "alone", TINY.with_thresholds(min_platelets=32))
    assert moved.release.audit.n_columns > alone.release.audit.n_columns, "the columns of both releases are attacked"


def test_a_report_from_a_prepared_file_says_that_its_patients_are_made_up(table, tmp_path):
    protocol = fz.load_trial("NCT06642025")
    cohort = fz.read_cohort(table, protocol.columns).head(120)
    fz.write_cohort(cohort, tmp_path / "cohort.arrow")
    few = protocol.without("I1", "I3", "I5", "I6", "E1", "E2", "E3", "E4", "E5", "E6", "E7")
    made = fz.sponsor_report(tmp_path / "cohort.arrow", few, tmp_path / "r", formats=["html"], dated="2026-01-31",
                             ledger=tmp_path / "ledger.json")  # fmt: skip
    assert made.synthetic
    assert "SYNTHETIC DATA" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert fz.Ledger.open(tmp_path / "ledger.json").entries[0].index_date == "2025-06-30"


def test_releases_at_another_date_are_named(tmp_path):
    tiny_report(tmp_path, "first")
    rng = np.random.default_rng(6)
    cohort = pd.DataFrame({"platelets_10e9_l": pd.array(rng.normal(60, 30, 300).round(), dtype="Float64"),
                           "age_years": pd.array(rng.integers(40, 90, 300), dtype="Int64")})  # fmt: skip
    later = fz.sponsor_report(cohort, TINY, tmp_path / "later", formats=["html"], ledger=tmp_path / "ledger.json",
                              index_date="2025-12-31", dated="2026-01-31")  # fmt: skip
    assert "at another date (2025-06-30)" in later.notes[0]


def test_a_damaged_ledger_stops_the_report(made, table, tmp_path):
    folder, _ = made
    broken = tmp_path / "ledger.json"
    broken.write_text((folder / "ledger.json").read_text()[:-400])
    done = run("report", table, "-t", "NCT06642025", "-o", tmp_path / "r", *SMALL, "--ledger", broken)
    assert isinstance(done.exception, FeasibilityError)
    assert "Restore the last good copy" in str(done.exception)
    assert not list(tmp_path.glob("r*")), "nothing was written"


@pytest.mark.parametrize(("options", "message"), [
    (("--policy", "omop"), "Give the ledger of earlier releases"),
    (("--policy", "nsh"), "Did you mean 'nhs'"),
    (("--threshold", "8"), "--threshold needs --base"),
    (("--epsilon", "1"), "--epsilon belongs to --policy dp"),
    (("--grid", "min_platelets"), "--grid needs name=value,value"),
    (("--grid", "transfusion_rule=1"), "a curve needs a threshold"),
    (("--formats", "odt"), "cannot be written as 'odt'"),
    (("--language", "fr"), "fr"),
    (("--by", "sites"), "sites"),
    (("--events", "x"), "--events needs --from and --to"),
])  # fmt: skip
def test_bad_options_get_advice(table, tmp_path, options, message):
    arguments = [*SMALL, *options] if options[0] != "--grid" else [*SMALL[:2], *SMALL[4:], *options]
    done = run("report", table, "-t", "NCT06642025", "-o", tmp_path / "r", *arguments)
    assert isinstance(done.exception, FeasibilityError), done.output
    assert message in str(done.exception)
