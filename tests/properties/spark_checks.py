"""The checks on Spark, in a process of their own: ``python spark_checks.py FOLDER`` writes ``FOLDER/result.json``.

``test_spark`` starts it once and reads one verdict a check. In the tests' own process it would fail at the import:
pyspark warns about pandas 3, and warnings are errors there.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
warnings.simplefilter("ignore")  # pyspark: "pandas >= 3 is not supported"; Ibis: "future.infer_string"

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from postgres.tiny_cdm import everything, write_folder  # noqa: E402
from properties import engine_cases as engines  # noqa: E402

import feasibility as fz  # noqa: E402
from feasibility.engine.ibis_engine import count_strata  # noqa: E402
from feasibility.patterns import count  # noqa: E402
from feasibility.screening import labels_of  # noqa: E402
from feasibility.sources.database import read_events  # noqa: E402
from feasibility.sources.extract import Extract  # noqa: E402
from feasibility.sources.omop import omop  # noqa: E402
from feasibility.sources.spark import build_on_spark  # noqa: E402
from feasibility.trials.aml import AML_COLUMNS  # noqa: E402
from feasibility.trials.aml_events_native import write_native  # noqa: E402
from feasibility.trials.aml_registry import synthetic_registry  # noqa: E402

INDEX = fz.as_of("2025-06-30")
EVENTS = ("patients", "diagnoses", "labs", "medications", "courses", "responses", "transplants")
"""The event tables that are built from: each costs Spark a second, however small it is."""


class Checks:
    """Each method ``check_*`` is one check; what it raises is its failure."""

    def __init__(self, con, session, folder: Path):
        self.con, self.session, self.folder = con, session, folder

    def table(self, arrow, name: str = "t"):
        self.session.createDataFrame(arrow).createOrReplaceTempView(name)
        return self.con.table(name)

    def check_every_trial_counts_alike(self):
        for i, (name, (cohort, protocol)) in enumerate(engines.cases(sizes=(120,)).items()):
            got = fz.count_patterns(self.table(engines.as_arrow(cohort), f"t{i}"), protocol)
            assert got.header["route"] == "database (pyspark)"
            pd.testing.assert_frame_equal(engines.reference(cohort, protocol).to_frame(), got.to_frame(), obj=name)

    def check_nan_is_above_everything_there(self):
        self.table(engines.as_arrow(engines.engine_cohort()), "nans")
        assert self.session.sql("SELECT count(*) FROM nans WHERE x > 60 AND isnan(x)").collect()[0][0] > 0

    def check_strata_count_alike(self):
        cohort, protocol = engines.engine_cohort(), engines.engine_protocol()
        table = self.table(engines.as_arrow(cohort), "strata")
        for by in (["site"], ["flag", "site"]):
            failed, unknown, n, strata = count_strata(table, protocol, by, check=False)
            got = count(labels_of(protocol), failed, unknown, strata, n)
            pd.testing.assert_frame_equal(engines.reference(cohort, protocol, by).to_frame(), got.to_frame())

    def check_no_job_for_what_is_refused(self):
        def upper(code):
            return code.upper() == "A"

        one = engines.split
        refused = type(one)(**{**vars(one), "function": upper, "name": "upper", "columns": ("code",)})
        table = self.table(engines.as_arrow(engines.engine_cohort()), "refused")
        context = self.session.sparkContext
        context.setJobGroup("refused", "")
        with pytest.raises(fz.ScreeningError, match=r"Criterion X3 \(upper\) uses the operation Uppercase"):
            fz.count_patterns(table, fz.Protocol("T", "t", [engines.listed, refused]))
        assert len(context.statusTracker().getJobIdsForGroup("refused")) == 0
        fz.count_patterns(table, engines.engine_protocol(), check=False)
        assert len(context.statusTracker().getJobIdsForGroup("refused")) > 0
        context.setLocalProperty("spark.jobGroup.id", None)

    def check_the_workers_build_what_duckdb_builds(self):
        write_native(synthetic_registry(150, seed=31), self.folder / "native")
        here = fz.read_extract(self.folder / "native")
        # A database has no file beside its tables that says that nobody in it is real.
        here = Extract({name: here.tables[name] for name in EVENTS}, here.source, here.quality, {})
        reference = fz.build_cohort(here, INDEX, AML_COLUMNS)
        (self.folder / "events").mkdir()
        for name, table in here.tables.items():
            file = self.folder / "events" / f"{name}.parquet"
            table.to_parquet(file)
            self.con.read_parquet(str(file), table_name=name)
        there = Extract(read_events(self.con).tables, here.source, here.quality, {})
        built = build_on_spark(there, INDEX, self.folder / "built", AML_COLUMNS, parts=3)
        assert built.table.get_backend() is self.con
        files = sorted((built.folder / "cohort").glob("*.parquet"))
        assert len(files) == 3
        assert not (built.folder / "events").exists()
        parts = [fz.read_cohort(file, columns=AML_COLUMNS) for file in files]
        assert any("months_from_cr_to_relapse__upper" in part for part in parts)
        found = pd.concat(parts).sort_index()
        pd.testing.assert_frame_equal(found, reference, check_index_type=False)
        mine, theirs = (json.loads(json.dumps(r)) for r in (dict(reference.attrs["feasibility"]), built.record))
        assert noticed(mine) == noticed(theirs)
        assert {k: v for k, v in mine.items() if k != "events"} == {k: v for k, v in theirs.items() if k != "events"}
        protocol = fz.load_trial("NCT06642025")
        got = fz.count_patterns(built.table, protocol)
        pd.testing.assert_frame_equal(fz.screen(reference, protocol).patterns().to_frame(), got.to_frame())
        pd.testing.assert_frame_equal(
            engines.tidy(fz.count_patterns(built.folder / "cohort", protocol)), engines.tidy(got)
        )
        self.extract, self.reference = there, reference

    def check_the_driver_builds_the_same(self):
        few = AML_COLUMNS.select(["age_years", "sex", "hemoglobin_g_l", "heart_failure"])
        here = fz.build_cohort(self.extract, INDEX, few)
        pd.testing.assert_frame_equal(here, self.reference[list(here)])
        left = [name for name in self.con.list_tables() if name.startswith("feasibility_")]
        assert not left, left

    def check_what_the_workers_refuse_reaches_the_driver(self):
        few, people = AML_COLUMNS.select(["age_years"]), {"patients": self.extract.tables["patients"]}
        extract = Extract(people, "people")
        with pytest.raises(fz.CohortError, match="the folder is not empty"):
            build_on_spark(extract, INDEX, self.folder / "built", few, parts=1)
        with pytest.raises(fz.CohortError, match="nobody is left to screen by index dates: as_of"):
            build_on_spark(extract, fz.as_of("1850-01-01"), self.folder / "nobody", few, parts=1)
        with pytest.raises(fz.CohortError, match="No build setting 'age_years.nothing' is declared"):
            build_on_spark(extract, INDEX, self.folder / "settings", few, {"age_years.nothing": 1}, parts=1)
        with pytest.raises(fz.CohortError, match="is in duckdb, not in Spark: use build_cohort"):
            build_on_spark(fz.read_extract(self.folder / "native"), INDEX, self.folder / "other", few)

    def check_omop_in_spark_is_omop_in_files(self):
        import duckdb

        from feasibility.sources.omop_cdm import CDM

        write_folder(self.folder / "cdm")
        types = {"date": "DATE", "float64": "DOUBLE", "int64": "INT"}
        self.session.sql("CREATE DATABASE IF NOT EXISTS cdm")
        for path in sorted((self.folder / "cdm").glob("*.csv")):
            if path.stem not in ("person", "death", "measurement", "concept"):
                path.unlink()  # every table costs seconds; these have the texts, codes, dates and units there are
                continue
            rows = duckdb.sql(f"SELECT * FROM read_csv('{path}', all_varchar=true)")
            cast = {c: types.get(CDM[path.stem].get(c, "string"), "VARCHAR") for c in rows.columns}
            typed = rows.project(", ".join(f"CAST({c} AS {t}) AS {c}" for c, t in cast.items()))
            self.session.createDataFrame(typed.arrow().read_all()).write.saveAsTable(f"cdm.{path.stem}")
        mapping = {"ancestors": [138379]}
        here, there = omop(self.con, {**mapping, "schema": "cdm"}), omop(self.folder / "cdm", mapping)
        first, second = everything(here), everything(there)
        assert first.keys() == second.keys()
        for name in first:
            assert first[name] == second[name], name
        assert here.quality == there.quality


def noticed(record) -> dict[tuple, int]:
    """How many of everything that was noticed; what has two codes is listed twice where all is built at once."""
    result: dict[tuple, int] = {}
    for event in record["events"]:
        key = tuple(event[k] for k in ("column", "file_column", "kind", "reason"))
        result[key] = result.get(key, 0) + event["n"]
    return result


def start(folder: Path):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.local.dir", str(folder / "scratch"))
        # A short run: no second compiler.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    return session


def main(folder: Path) -> None:
    import ibis

    begin = time.perf_counter()
    session = start(folder)
    checks = Checks(ibis.pyspark.connect(session), session, folder)
    result = {"session": {"seconds": time.perf_counter() - begin}}
    for name in CHECKS:
        begin, error = time.perf_counter(), ""
        try:
            getattr(checks, f"check_{name}")()
        except Exception:  # noqa: BLE001 - the verdict is passed on
            error = traceback.format_exc(limit=-12)[-6000:]
        result[name] = {"error": error, "seconds": time.perf_counter() - begin}
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    session.stop()


CHECKS = [name.removeprefix("check_") for name in vars(Checks) if name.startswith("check_")]

if __name__ == "__main__":
    np.seterr(all="ignore")
    main(Path(sys.argv[1]))
