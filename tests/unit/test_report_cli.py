"""What the commands print and put on the page: the words of the report, in its order."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest
from helpers import ROOT
from typer.testing import CliRunner

from feasibility.cli import app
from feasibility.errors import ScreeningError

SAMPLE = ROOT / "synthetic_data" / "registry_sample.csv"
TRIAL = ["--trial", "NCT06642025"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "small.csv"
    pd.read_csv(SAMPLE, dtype=str, keep_default_na=False).head(40).to_csv(path, index=False)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_funnel_has_the_words_and_order_of_the_report(small):
    done = run("screen", small, *TRIAL, "--level", "clause")
    head = next(line for line in done.stdout.splitlines() if "entering" in line)
    found = [head.index(w) for w in ("clause", "entering", "excluded", "confirmed so far", "undetermined", "possible")]
    assert found == sorted(found)
    assert "ECOG performance" in done.stdout
    assert "criterion" in run("screen", small, *TRIAL).stdout


def test_a_missing_column_names_the_option(small, tmp_path):
    path = tmp_path / "less.csv"
    pd.read_csv(small, dtype=str, keep_default_na=False).drop(columns="hsct").to_csv(path, index=False)
    with pytest.raises(ScreeningError, match="On the command line: --missing-columns unknown"):
        run("screen", path, *TRIAL)


def test_the_report_carries_who_where_and_what_file(small, tmp_path):
    page = tmp_path / "r.html"
    run("worksheet", small, *TRIAL, "-o", page, "--site", "Hospital A", "--sponsor", "Acme", "--contact", "a@b.org",
        "--date", "2025-07-01")  # fmt: skip
    text = page.read_text(encoding="utf-8")
    for fact in ("site: Hospital A", "sponsor: Acme", "contact: a@b.org"):
        assert fact in text
    assert hashlib.sha256(small.read_bytes()).hexdigest() in text
    assert "Synthetic data: nobody on this page is a patient." in text
    assert "dict object" not in text
    assert "built-in method" not in text


def test_the_dictionary_starts_with_what_the_trial_reads(tmp_path):
    page = tmp_path / "d.html"
    run("dictionary", *TRIAL, "-o", page)
    text = page.read_text(encoding="utf-8")
    assert text.index("<code>aml_<wbr>subtype</code>") < text.index("<code>site_<wbr>id</code>")
    assert "built-in method" not in text
