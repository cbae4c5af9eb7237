"""The canonical event tables: what every source (CSV folder, OMOP, FHIR) turns a hospital's extract into.

The layout is that of the clinical specification, section 9.1. A DATE column ``d`` holds the first possible day and
``d_last`` the last one (they differ for a partial date such as 2024-12); a blank date is NULL in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LAST = "_last"
"""Suffix of the second column of a date: the last possible day."""

SYSTEMS = (
    "icd10", "icd9cm", "icd9proc", "icd10pcs", "loinc", "atc", "rxnorm", "snomed", "omop", "cpt", "local",
)  # fmt: skip
"""The code systems a coded row may name."""


@dataclass(frozen=True)
class EventColumn:
    """One column of an event table; ``dtype`` is string, date, float64, int64 or boolean."""

    name: str
    dtype: str = "string"


@dataclass(frozen=True)
class EventTable:
    """One event table: its columns, and whether an extract must have it.

    ``coded`` tables carry ``system``, ``code`` and ``fact_id``: a fact with several codings is several rows with the
    same ``fact_id``. ``date`` is the column that says when it happened, '' where there is none.
    """

    name: str
    columns: tuple[EventColumn, ...]
    doc: str
    mandatory: bool = False
    coded: bool = False
    date: str = "date"

    def __iter__(self) -> Iterator[EventColumn]:
        return iter(self.columns)

    @property
    def dates(self) -> tuple[str, ...]:
        """The names of the date columns, without their ``_last`` companions."""
        return tuple(c.name for c in self.columns if c.dtype == "date")

    def physical(self) -> dict[str, str]:
        """Every column of the table in order, ``row_id`` and ``_last`` companions included, with its type."""
        result: dict[str, str] = {"row_id": "int64"}
        if self.coded:
            result["fact_id"] = "string"
        for column in self.columns:
            result[column.name] = column.dtype
            if column.dtype == "date":
                result[column.name + LAST] = "date"
        return result


def _table(name: str, spec: str, doc: str, **more) -> EventTable:
    columns = []
    for word in ("pid " + spec).split():
        column, _, dtype = word.partition(":")
        columns.append(EventColumn(column, dtype or "string"))
    return EventTable(name, tuple(columns), doc, **more)


TABLES: Mapping[str, EventTable] = {
    t.name: t
    for t in (
        _table(
            "patients",
            "birth_date:date sex death_date:date last_visit:date region site_id",
            "One row per patient.",
            mandatory=True,
            date="",
        ),
        _table(
            "diagnoses",
            "dx_date:date system code text type dx_status",
            "Coded diagnoses; text may give severity or cause.",
            mandatory=True,
            coded=True,
            date="dx_date",
        ),
        _table(
            "labs",
            "date:date report_date:date system code local_name value_text value_num:float64 comparator unit "
            "ref_low:float64 ref_high:float64 flag specimen",
            "Laboratory results; date is the day of the sample.",
            mandatory=True,
            coded=True,
        ),
        _table(
            "medications",
            "start:date stop:date system code generic dose:float64 unit freq route prn:boolean indication status",
            "Drug orders and administrations; both days included, dose per administration.",
            coded=True,
            date="start",
        ),
        _table("procedures", "date:date system code text", "Coded procedures.", coded=True),
        _table(
            "courses",
            "course_no:int64 phase start:date stop:date intensity",
            "Treatment courses.",
            date="start",
        ),
        _table(
            "responses",
            "assess_date:date course_no:int64 phase regimen response_eln bm_blast_pct:float64 mrd emd_flag:boolean",
            "Response assessments; emd_flag is extramedullary disease present, absent or not assessed.",
            date="assess_date",
        ),
        _table(
            "transplants",
            "date:date type donor conditioning is_stop_date:date is_ongoing:boolean agvhd_max cgvhd gvhd_status "
            "gvhd_date:date",
            "Stem cell transplants; is_stop_date is the last day of immunosuppression.",
        ),
        _table("echo", "date:date lvef:float64 method", "Ejection fractions, in per cent."),
        _table("performance", "date:date scale score", "Performance status (ECOG, KPS) and NYHA class."),
        _table(
            "infections",
            "date:date active:boolean severity controlled:boolean",
            "Assessments of infection other than viral hepatitis and HIV.",
        ),
        _table("allergies", "date:date agent severity status", "Allergies; status active, NKDA or reviewed."),
        _table("flow", "antigen pct:float64 specimen date:date", "Flow cytometry of leukaemic cells."),
        _table(
            "repro",
            "date:date menopause:boolean sterilised:boolean lactating:boolean",
            "Childbearing potential and breast-feeding.",
        ),
        _table("transfusions", "date:date product", "Blood products given."),
        _table(
            "observed",
            "start:date stop:date",
            "Periods in which the patient was observed, so that no record means it did not happen.",
            date="start",
        ),
    )
}
"""Every canonical event table by name."""

MANDATORY = tuple(name for name, table in TABLES.items() if table.mandatory)
"""Tables an extract must have; of ``courses`` and ``responses`` it must have at least one."""


def empty_table(name: str):
    """An Ibis table with the canonical columns and no row."""
    import ibis

    schema = ibis.schema(TABLES[name].physical())
    return ibis.memtable(schema.to_pyarrow().empty_table(), schema=schema)
