"""The build command: a day for everyone or a day for each patient, and what it says of made-up patients."""

from __future__ import annotations

import pandas as pd
import pytest
from typer.testing import CliRunner

import feasibility as fz
from feasibility.cli import app
from feasibility.errors import CohortError

from ..spec.test_vectors_from_events import lab, write

TRIAL = ["--trial", "NCT06642025"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    people = ["P1,1980-01-01,M,,2025-06-25,Anhui", "P2,1990-01-01,F,,2025-06-25,Anhui"]
    second = [lab("", "718-7", "80", "g/L", day).replace("P1", "P2") for day in ("2025-03-05", "2025-04-01")]
    labs = [lab("", "718-7", "90", "g/L", day) for day in ("2025-05-01", "2025-06-20")]
    responses = ["P1,2025-02-10,1,induction,,CR,2,,", "P1,2025-05-10,2,,,PD,40,,", "P2,2025-02-01,1,induction,,CR,2,,"]
    return write(tmp_path_factory.mktemp("hospital"), patients=people, labs=[*labs, *second], responses=responses)


def dates(path):
    cohort = fz.read_cohort(path, fz.load_trial("NCT06642025").columns)
    return {(p, str(pd.Timestamp(d).date())) for p, d in cohort.index}


@pytest.mark.parametrize(("options", "expected"), [
    (["--which", "last"], {("P1", "2025-06-20"), ("P2", "2025-04-01")}),
    (["--which", "first", "--days", 3], {("P1", "2025-05-04"), ("P2", "2025-03-08")}),
    ([], {("P1", "2025-05-01"), ("P1", "2025-06-20"), ("P2", "2025-03-05"), ("P2", "2025-04-01")}),
])  # fmt: skip
def test_a_day_for_each_patient(folder, tmp_path, options, expected):
    done = run("build", folder, *TRIAL, "--after-event", "labs", *options, "-o", tmp_path / "c.parquet")
    assert dates(tmp_path / "c.parquet") == expected
    assert "after_event(table=labs" in " ".join(done.stdout.split())
    assert ("4 index dates" in done.stdout) == (len(expected) == 4)


def test_events_of_one_kind(folder, tmp_path):
    where = ["--where", "response_eln=PD", "--where", "response_eln=NR"]
    run("build", folder, *TRIAL, "--after-event", "responses", *where, "-o", tmp_path / "c.parquet")
    assert dates(tmp_path / "c.parquet") == {("P1", "2025-05-10")}


def test_a_day_for_everyone(folder, tmp_path):
    run("build", folder, *TRIAL, "--index-date", "2025-06-30", "-o", tmp_path / "c.parquet")
    assert dates(tmp_path / "c.parquet") == {("P1", "2025-06-30"), ("P2", "2025-06-30")}


@pytest.mark.parametrize(("options", "message"), [
    ([], "Give one of --index-date .* and --after-event .*; got neither"),
    (["--index-date", "2025-06-30", "--after-event", "labs"], "got both"),
    (["--after-event", "lab"], "no event table is called 'lab'. Did you mean 'labs'"),
    (["--after-event", "labs", "--which", "latest"], "which is 'latest', not first, last or each"),
    (["--after-event", "labs", "--days", -1], "would look ahead"),
    (["--after-event", "labs", "--where", "code"], "--where needs column=value, got 'code'"),
    (["--index-date", "2025-06-30", "--which", "last"], "--which belongs to --after-event"),
    (["--index-date", "2025-06-30", "--days", 0], "--days belongs to --after-event"),
])  # fmt: skip
def test_options_that_do_not_fit(folder, tmp_path, options, message):
    with pytest.raises(CohortError, match=message):
        run("build", folder, *TRIAL, *options, "-o", tmp_path / "c.parquet")


def test_a_report_on_made_up_patients_has_the_banner(tmp_path):
    run("synthetic", "--patients", 30, "--seed", 3, "--events", "native", "-o", tmp_path / "events")
    cohort, page = tmp_path / "c.parquet", tmp_path / "r.html"
    done = run("build", tmp_path / "events", *TRIAL, "--index-date", "2025-06-30", "-o", cohort)
    assert "Synthetic data: these are not patients." in done.stdout
    run("worksheet", cohort, *TRIAL, "-o", page)
    assert "Synthetic data: nobody on this page is a patient." in page.read_text(encoding="utf-8")
    (tmp_path / "events" / "SYNTHETIC.txt").unlink()
    run("build", tmp_path / "events", *TRIAL, "--index-date", "2025-06-30", "-o", cohort)
    run("worksheet", cohort, *TRIAL, "-o", page)
    assert "nobody on this page is a patient" not in page.read_text(encoding="utf-8")
