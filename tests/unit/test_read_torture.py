"""One file with every hazard at once, in five encodings, against its clean twin, cell by cell; and cut short."""

import math
import random

import numpy as np
import pandas as pd
import pytest

from feasibility.cohort.read import as_cohort, read_cohort
from feasibility.cohort.write import write_cohort
from feasibility.errors import CohortError, ReadError
from feasibility.trials.aml import AML_COLUMNS

INDEX = "2025-06-30"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "gb18030", "utf-16-le"]
BELOW_10, ABOVE_500 = math.nextafter(10, 0), math.nextafter(500, 1000)

# Each hazard: the cell as a hospital writes it, and what it means: a value, a pair of bounds, or None for an explained
# unknown with its reason.
HAZARDS = {
    "alter": [("64", 64), ("64,9", 64), ("＞ 89", (90, 120)), ("65岁", 65), ("130", None), ("k.A.", None)],
    "geschlecht": [("w", "female"), ("男", "male"), ("Female", "female"), ("1", "male"), ("divers?", None), ("", None)],
    "Hb": [("6,0", 60.0), ("12,1 g/dL", 121.0), ("7.5", 75.0), ("-1", None), ("999", None), ("80 g/L", 80.0)],
    "PLT": [("<10", (0, BELOW_10)), ("＞500", (ABOVE_500, 3000)), ("30–35", (30, 35)), ("1 200", 1200.0), ("abc", None),
            ("未检出", None)],
    "MI": [("30.12.2024", 6.0), ("2024-06-30", 12.0), ("2025年5月30日", 1.0), ("2026-01-01", None),
           ("nie", math.inf), ("", None)],
    "ECOG": [("0-1", 1), ("2", 2), (">=2", None), ("5", None), ("ECOG 1", 1), ("未查", None)],
    "HSCT": [("ja", True), ("无", False), ("positive", True), ("0", False), ("vielleicht", None), ("不详", None)],
    "NYHA": [("II", 2), ("II–III", 3), ("4", 4), ("NYHA I", 1), ("V", None), ("n/a", None)],
    "LVEF": [("50–55", 50.0), ("45 %", 45.0), ("60", 60.0), ("99", None),
             ("<30", (5, math.nextafter(30, 0))), ("NULL", None)],
    "HBV": [("<20", 0.0), ("1,2×10^3", 1200.0), ("未检出", 0.0), ("2E3", 2000.0), ("inf", None), ("-1", None)],
    "Ort": [("Zürich", "Zürich"), ("合肥", "合肥"),
            ('"A; B"', "A; B"), ('"say ""hi"""', 'say "hi"'), (" X ", "X"), ("", None)],
}  # fmt: skip
TARGETS = {
    "alter": "age_years", "geschlecht": "sex", "Hb": "hemoglobin_g_l", "PLT": "platelets_10e9_l",
    "MI": "months_since_mi",
    "ECOG": "ecog", "HSCT": "hsct", "NYHA": "nyha_class", "LVEF": "lvef_latest_pct", "HBV": "hbv_dna_iu_ml",
    "Ort": "site_id",
}  # fmt: skip
MAPPING = {
    "file": {"patient_id": "Fall Nr", "index_date": INDEX, "missing": ["-1", "999"]},
    "columns": {
        "age_years": "alter", "sex": "geschlecht", "ecog": "ECOG", "hsct": "HSCT", "nyha_class": "NYHA",
        "site_id": "Ort",
        "hemoglobin_g_l": {"from": "Hb", "unit": "g/dL"},
        "platelets_10e9_l": {"from": "PLT", "unit": "Gpt/l"},
        "months_since_mi": {"date": "MI"},
        "lvef_latest_pct": {"from": "LVEF", "unit": "%"},
        "hbv_dna_iu_ml": {"from": "HBV", "unit": "IU/mL"},
    },
}  # fmt: skip
NAMES = list(HAZARDS)


def torture_text(n: int = 120, line_end: str = "\r\n", ragged: bool = True) -> str:
    """The messy file: every combination comes up as the columns step through their hazards at different paces."""
    lines = ["Fall Nr;" + ";".join(NAMES) + ";Bemerkung 备注"]
    for i in range(n):
        cells = [HAZARDS[name][hazard(i, j)][0] for j, name in enumerate(NAMES)]
        note = '"zwei\nZeilen"' if i % 40 == 7 else '5" pipe' if i % 40 == 9 else "正常"
        lines.append(f"P{i:03d};" + ";".join(cells) + ";" + note)
        if ragged and i % 50 == 20:
            lines += ["", "P9" + str(i) + ";zu;kurz", "P8" + str(i) + ";" + ";".join(cells) + ";zu;viel;hier"]
        if ragged and i % 50 == 30:
            lines.append(f'P7{i};"offen;' + ";".join(cells[1:]) + ";x")
    return line_end.join(lines) + line_end


def hazard(i: int, j: int) -> int:
    return (i + (i // 6) * (j % 5)) % 6


def expected(i: int, j: int):
    return HAZARDS[NAMES[j]][hazard(i, j)][1]


def clean_twin(n: int = 120) -> pd.DataFrame:
    """The same patients, typed by hand: no hazards, only values and blanks."""
    twin: dict = {"patient_id": [f"P{i:03d}" for i in range(n)]}
    for j, name in enumerate(NAMES):
        target, wanted = TARGETS[name], [expected(i, j) for i in range(n)]
        lower = [v[0] if isinstance(v, tuple) else v for v in wanted]
        twin[target] = lower
        if any(isinstance(v, tuple) for v in wanted):
            twin[target + "__upper"] = [v[1] if isinstance(v, tuple) else v for v in wanted]
    return pd.DataFrame(twin)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_torture_file_equals_its_clean_twin(tmp_path, encoding, line_end):
    path = tmp_path / "torture.csv"
    path.write_bytes(torture_text(line_end=line_end).encode(encoding))
    cohort = read_cohort(path, AML_COLUMNS, mapping=MAPPING)
    twin = as_cohort(clean_twin(), AML_COLUMNS, index_date=INDEX)
    pd.testing.assert_frame_equal(cohort, twin)
    facts = cohort.attrs["feasibility"]
    assert facts["n_rows_rejected"] == 6  # 2 too short, 2 too long, 2 open quotes
    assert facts["encoding"] == {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
    assert facts["encoding_evidence"]
    _every_unknown_is_explained(cohort)


def _every_unknown_is_explained(cohort):
    unknown = cohort.attrs["feasibility"]["unknown"]
    for name in TARGETS.values():
        assert cohort[name].isna().sum() == sum(unknown.get(name, {}).values()), name


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_western_encodings_must_be_stated(tmp_path, encoding):
    path = tmp_path / "west.csv"
    path.write_bytes("patient_id,site_id,hsct\nP1,Zürich,ja\nP2,Köln,nein\n".encode(encoding))
    with pytest.raises(ReadError, match="encoding cannot be told"):
        read_cohort(path, AML_COLUMNS)
    cohort = read_cohort(path, AML_COLUMNS, mapping={"file": {"encoding": encoding}})
    assert cohort["site_id"].tolist() == ["Zürich", "Köln"]


def test_the_same_file_as_excel_parquet_and_statistics_files(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    rows = {"Fall Nr": [f"P{i:03d}" for i in range(120)]}
    strip = str.maketrans("", "", '"')
    for j, name in enumerate(NAMES):
        cells = [HAZARDS[name][hazard(i, j)][0] for i in range(120)]
        rows[name] = [{'"say ""hi"""': 'say "hi"'}.get(c, c.translate(strip)) for c in cells]
    messy = pd.DataFrame(rows)
    twin = as_cohort(clean_twin(), AML_COLUMNS, index_date=INDEX)
    messy.to_excel(tmp_path / "t.xlsx", index=False)
    messy.to_parquet(tmp_path / "t.parquet")
    messy.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    messy.to_csv(tmp_path / "t.csv.gz", index=False)
    renamed = messy.rename(columns={"Fall Nr": "fall_nr"})
    pyreadstat.write_sav(renamed, str(tmp_path / "t.sav"))
    pyreadstat.write_dta(renamed, str(tmp_path / "t.dta"))
    for name in ("t.xlsx", "t.parquet", "t.tsv", "t.csv.gz", "t.sav", "t.dta"):
        mapping = MAPPING
        if name.endswith(("sav", "dta")):
            mapping = MAPPING | {"file": MAPPING["file"] | {"patient_id": "fall_nr"}}
        pd.testing.assert_frame_equal(read_cohort(tmp_path / name, AML_COLUMNS, mapping=mapping), twin)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_file_cut_anywhere_is_an_error_or_counted(tmp_path, encoding, ragged):
    data = torture_text(400, ragged=ragged).encode(encoding)
    path = tmp_path / "cut.csv"
    path.write_bytes(data)
    whole = read_cohort(path, AML_COLUMNS, mapping=MAPPING)
    n_lines = whole.attrs["feasibility"]["n_rows_in_file"]
    stated = MAPPING | {"file": MAPPING["file"] | {"rows": n_lines}}
    for cut in range(1000, len(data), 1000):
        path.write_bytes(data[:cut])
        with pytest.raises(ReadError):  # with the number of rows stated, every cut is found
            read_cohort(path, AML_COLUMNS, mapping=stated)
        try:
            cohort = read_cohort(path, AML_COLUMNS, mapping=MAPPING)
        except ReadError:
            continue
        # Otherwise the last line is complete but for its line end, and that is counted; all earlier rows are the same.
        reasons = [e["reason"] for e in cohort.attrs["feasibility"]["events"] if e["kind"] == "quarantined"]
        at_line_end = data[:cut].decode(encoding).endswith("\n")
        assert at_line_end or any("no line end" in r for r in reasons)
        if ragged:  # a row with too many fields may have been cut to the right number: counted as above
            assert len(cohort) + cohort.attrs["feasibility"]["n_rows_rejected"] <= n_lines
            continue
        shared = cohort.columns.intersection(whole.columns)
        pd.testing.assert_frame_equal(cohort[shared], whole[shared].iloc[: len(cohort)])


def test_damage_anywhere_is_an_error_or_adds_up(tmp_path):
    """Bytes changed, lost or put in: our own error, or every line is a row or a counted quarantine."""
    path, outcomes = tmp_path / "damaged.csv", []
    for seed in range(150):
        rng = random.Random(seed)
        data = bytearray(torture_text(40).encode("utf-8" if seed % 3 else "gb18030"))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            if rng.random() < 0.3:
                del data[at : at + rng.randint(1, 40)]
            else:
                data[at:at] = rng.choice([b'"', b"\n", b";", b"\r", b'""', b'"\n', b"x"])
        path.write_bytes(bytes(data))
        try:
            facts = read_cohort(path, AML_COLUMNS, mapping=MAPPING).attrs["feasibility"]
        except CohortError:
            outcomes.append("error")
        else:
            outcomes.append("read")
            assert facts["n_rows"] + facts["n_rows_rejected"] == facts["n_rows_in_file"]
    assert {"error", "read"} == set(outcomes)


@pytest.mark.parametrize("suffix", [".csv.gz", ".xlsx", ".parquet"])
def test_a_cut_binary_file_is_an_error(tmp_path, suffix):
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(3000)], "age_years": np.arange(3000) % 90})
    path = tmp_path / f"whole{suffix}"
    {".csv.gz": frame.to_csv, ".xlsx": frame.to_excel, ".parquet": frame.to_parquet}[suffix](path, index=False)
    data = path.read_bytes()
    for cut in range(1000, len(data), 1000):
        path.write_bytes(data[:cut])
        with pytest.raises(ReadError):
            read_cohort(path, AML_COLUMNS)


@pytest.mark.parametrize(("writer", "suffix"), [("write_sav", ".sav"), ("write_dta", ".dta"), ("write_xport", ".xpt")])
def test_a_cut_statistics_file_is_an_error_or_whole(tmp_path, writer, suffix):
    pyreadstat = pytest.importorskip("pyreadstat")
    path = tmp_path / f"whole{suffix}"
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(900)], "age_years": np.arange(900.0) % 90})
    getattr(pyreadstat, writer)(frame, str(path))
    data = path.read_bytes()
    mapping = {"file": {"rows": 900}} if suffix == ".xpt" else {}  # the format itself does not say how many rows it has
    for cut in range(1000, len(data) - 200, 1000):
        path.write_bytes(data[:cut])
        with pytest.raises(ReadError):
            read_cohort(path, AML_COLUMNS, mapping=mapping)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_writing_and_reading_gives_the_same_cohort(tmp_path, suffix):
    cohort = as_cohort(clean_twin(), AML_COLUMNS, index_date=INDEX)
    again = read_cohort(write_cohort(cohort, tmp_path / f"c{suffix}"), AML_COLUMNS)
    pd.testing.assert_frame_equal(again, cohort)
    pd.testing.assert_frame_equal(read_cohort(write_cohort(again, tmp_path / f"d{suffix}"), AML_COLUMNS), cohort)
