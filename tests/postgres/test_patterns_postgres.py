"""Inside PostgreSQL every trial counts as it is screened on pandas; a criterion that would not is refused first."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from properties import engine_cases as engines

import feasibility as fz
from feasibility.engine.ibis_engine import count_strata
from feasibility.patterns import count
from feasibility.screening import labels_of

TYPES = {"double": "DOUBLE PRECISION", "int64": "BIGINT", "bool": "BOOLEAN", "string": "TEXT"}


def load(con, name: str, arrow: pa.Table, types=None) -> None:
    """By COPY, so that NaN arrives as NaN and NULL as NULL."""
    kinds = {f.name: (types or {}).get(f.name, TYPES[str(f.type)]) for f in arrow.schema}
    with con.begin() as cursor:
        cursor.execute(f"CREATE TABLE {name} ({', '.join(f'{c} {t}' for c, t in kinds.items())})")
        with cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in arrow.to_pylist():
                copy.write_row(list(row.values()))


def test_every_trial_counts_alike(postgres):
    for i, (name, (cohort, protocol)) in enumerate(engines.cases().items()):
        arrow = engines.as_arrow(cohort)
        load(postgres, f"t{i}", arrow)
        got = fz.count_patterns(postgres.table(f"t{i}"), protocol)
        pd.testing.assert_frame_equal(engines.reference(cohort, protocol).to_frame(), got.to_frame(), obj=name)
        assert got.header["route"] == "database (postgres)"


def test_nan_is_above_everything_there_and_unknown_here(postgres):
    arrow = engines.as_arrow(engines.engine_cohort())
    load(postgres, "c", arrow, {"x": "NUMERIC", "whole": "BIGINT"})
    with postgres.begin() as cursor:
        n = cursor.execute("SELECT count(*) FROM c WHERE x > 60 AND x = 'NaN'").fetchone()[0]
    assert n > 0
    got = fz.count_patterns(postgres.table("c"), engines.engine_protocol())
    reference = engines.reference(engines.engine_cohort(), engines.engine_protocol())
    pd.testing.assert_frame_equal(reference.to_frame(), got.to_frame())


@pytest.mark.parametrize("by", [["site"], ["flag", "site"]])
def test_strata_count_alike(postgres, by):
    cohort, protocol = engines.engine_cohort(), engines.engine_protocol()
    load(postgres, "c", engines.as_arrow(cohort))
    failed, unknown, n, strata = count_strata(postgres.table("c"), protocol, by)
    got = count(labels_of(protocol), failed, unknown, strata, n)
    pd.testing.assert_frame_equal(engines.reference(cohort, protocol, by).to_frame(), got.to_frame())


def test_a_role_that_may_only_read_can_count(postgres):
    cohort, protocol = engines.many(65)
    load(postgres, "c", engines.as_arrow(cohort))
    with postgres.begin() as cursor:
        cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        cursor.execute("REVOKE TEMPORARY ON DATABASE " + postgres.con.info.dbname + " FROM PUBLIC")
        cursor.execute("DROP ROLE IF EXISTS reader")
        cursor.execute("CREATE ROLE reader")
        cursor.execute("GRANT USAGE ON SCHEMA public TO reader")
        cursor.execute("GRANT SELECT ON c TO reader")
    postgres.raw_sql("SET ROLE reader").close()
    postgres.raw_sql("SET default_transaction_read_only = on").close()
    got = fz.count_patterns(postgres.table("c"), protocol)
    pd.testing.assert_frame_equal(engines.reference(cohort, protocol).to_frame(), got.to_frame())
    postgres.raw_sql("SET default_transaction_read_only = off").close()
    postgres.raw_sql("RESET ROLE").close()
