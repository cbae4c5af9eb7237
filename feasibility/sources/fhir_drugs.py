"""MedicationRequest, MedicationAdministration and MedicationStatement as medications."""

from __future__ import annotations

from feasibility.sources.events import TABLES
from feasibility.sources.fhir_rows import kept
from feasibility.sources.fhir_sql import select

_TIMES = """CASE
  WHEN d.timing.repeat.frequency IS NULL THEN lower(coalesce(d.timing.code.coding[1].code, d.timing.code.text))
  WHEN d.timing.repeat.period = 1 AND d.timing.repeat.periodUnit = 'd' AND d.timing.repeat.frequency BETWEEN 1 AND 4
    THEN ['qd', 'bid', 'tid', 'qid'][d.timing.repeat.frequency::INT]
  WHEN d.timing.repeat.frequency = 1 AND d.timing.repeat.periodUnit = 'h'
    THEN 'q' || d.timing.repeat.period::INT || 'h'
  WHEN d.timing.repeat.frequency = 1 AND d.timing.repeat.periodUnit = 'd' AND d.timing.repeat.period = 2 THEN 'qod'
  WHEN d.timing.repeat.frequency = 1 AND d.timing.repeat.periodUnit = 'wk' AND d.timing.repeat.period = 1
    OR d.timing.repeat.frequency = 1 AND d.timing.repeat.periodUnit = 'd' AND d.timing.repeat.period = 7 THEN 'qw'
  ELSE fz_number(d.timing.repeat.frequency) || '/' || fz_number(d.timing.repeat.period)
    || d.timing.repeat.periodUnit END"""
_SUPPLY = "dispenseRequest.expectedSupplyDuration"
_WITH_REPEATS = "coalesce(dispenseRequest.numberOfRepeatsAllowed, 0) > 0"
_SUPPLY_DAYS = f"({_SUPPLY}.value * CASE {_SUPPLY}.code WHEN 'd' THEN 1 WHEN 'wk' THEN 7 END)::INT"
_EACH = "unnest(CASE WHEN len({0}) > 0 THEN {0} ELSE [NULL] END) AS d, generate_subscripts(CASE WHEN len({0}) > 0 THEN {0} ELSE [NULL] END, 1) AS k"  # noqa: E501


def _dose(quantity: str) -> str:
    """A dose without a unit is a number of tablets, not of milligrams: unknown, and counted."""
    return f"CASE WHEN fz_unit({quantity}) IS NOT NULL THEN {quantity}.value END"


_INSTRUCTED = {
    "dose": _dose("d.doseAndRate[1].doseQuantity"), "unit": "fz_unit(d.doseAndRate[1].doseQuantity)", "freq": _TIMES,
    "route": "fz_text(d.route)", "prn": "CASE WHEN d.asNeededCodeableConcept IS NOT NULL THEN true ELSE "
    "d.asNeededBoolean END",
}  # fmt: skip


def medications(duck, have: set[str]) -> None:
    """One row per dosage instruction and coding.

    A request stops at the end of its bounds, else when a supply without repeats runs out, else it is open.
    """
    parts = []
    if "MedicationRequest" in have:
        begin = 'coalesce(d.timing.repeat.boundsPeriod."start", authoredOn)'
        bounds = 'd.timing.repeat.boundsPeriod."end"'
        out = (
            f"CASE WHEN NOT ({_WITH_REPEATS}) AND fz_day({begin}) = fz_last({begin}) THEN fz_day({begin}) + "
            f"{_SUPPLY_DAYS} - 1 END"
        )
        parts.append(
            _part(
                "MedicationRequest",
                "dosageInstruction",
                {
                    "start": f"fz_day({begin})", "start_last": f"fz_last({begin})",
                    "stop": f"coalesce(fz_day({bounds}), {out})", "stop_last": f"coalesce(fz_last({bounds}), {out})",
                    "status": "'ordered'", **_INSTRUCTED,
                },
                have,
            )
        )  # fmt: skip
    for kind, status in (("MedicationAdministration", "administered"), ("MedicationStatement", "stated")):
        if kind not in have:
            continue
        begin = 'coalesce(effectiveDateTime, effectivePeriod."start")'
        end = 'coalesce(effectiveDateTime, effectivePeriod."end")'
        columns = {
            "start": f"fz_day({begin})", "start_last": f"fz_last({begin})", "stop": f"fz_day({end})",
            "stop_last": f"fz_last({end})", "status": f"'{status}'",
        }  # fmt: skip
        if kind == "MedicationAdministration":
            columns |= {"dose": _dose("dosage.dose"), "unit": "fz_unit(dosage.dose)", "route": "fz_text(dosage.route)"}
            parts.append(_part(kind, "", columns, have))
        else:
            parts.append(_part(kind, "dosage", columns | _INSTRUCTED, have))
    physical = ", ".join(TABLES["medications"].physical())
    duck.execute(f"CREATE TABLE medications AS SELECT {physical} FROM ({' UNION ALL '.join(parts)})")


def _part(kind: str, dosage: str, columns: dict[str, str], have: set[str]) -> str:
    """SELECT of one resource type; the drug is its own concept, a contained resource, or a Medication resource."""
    offset = {"MedicationRequest": 0, "MedicationAdministration": 1, "MedicationStatement": 2}[kind]
    inside = "list_filter(contained, lambda c: '#' || c.id = medicationReference.reference)[1].code"
    known = "raw_Medication" if "Medication" in have else "(SELECT NULL AS id, NULL AS code WHERE false)"
    why = "(SELECT NULL AS id, NULL AS code WHERE false)"
    if "Condition" in have:
        why = "(SELECT id, any_value(fz_text(code)) AS code FROM raw_Condition WHERE id IS NOT NULL GROUP BY id)"
    each = _EACH.format(dosage) if dosage else "NULL AS d, 1 AS k"
    drug = (
        f"coalesce(m.medicationCodeableConcept, {inside}, r.code)" if "Medication" in have
        else f"coalesce(m.medicationCodeableConcept, {inside})"
    )  # fmt: skip
    facts = (
        f"(SELECT m.*, {drug} AS drug, coalesce(fz_text(m.reasonCode[1]), w.code) AS why_, {each} "
        f"FROM {kept(kind)} m LEFT JOIN {known} r ON r.id = fz_id(m.medicationReference.reference) "
        f"LEFT JOIN {why} w ON w.id = fz_id(m.reasonReference[1].reference))"
    )
    named = "coalesce(drug, {'coding': NULL, 'text': medicationReference.display})"
    rows = f"(SELECT *, unnest(fz_codings({named})) AS c FROM {facts})"
    return select(
        "medications",
        columns
        | {
            "row_id": f"(rid * 16 + least(k, 15)) * 3 + {offset}", "pid": "pid",
            "fact_id": f"'{kind}/' || rkey || CASE WHEN k > 1 THEN '#' || k ELSE '' END",
            "system": "fz_system(c.system)", "code": "c.code", "generic": f"fz_text({named})", "indication": "why_",
        },
        rows,
    )  # fmt: skip
