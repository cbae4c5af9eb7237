"""Near misses: patients whom one single criterion keeps out, and by how much they miss it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from feasibility.analysis.gains import mark_internal
from feasibility.analysis.reconcile import same
from feasibility.analysis.screened import counted, fails, screened_cohort, statuses
from feasibility.bounded import UPPER
from feasibility.errors import FeasibilityError

BANDS = (0.1, 0.25, 0.5)
STEPS = 80
COLUMNS = ["criterion", "name", "threshold", "limit", "needs", "missed_by", "unit", "n_unknown"]
_NO_THRESHOLD, _TOGETHER = "no threshold", "several together"


def near_misses(
    cohort: pd.DataFrame, screening, *, patient_level: bool = False, bands=BANDS, internal: bool = True
) -> pd.DataFrame:
    """Patients who fail exactly one criterion, by the criterion and by how much they miss it.

    ``cohort`` is the table that was screened. By default counts only, index (criterion, threshold, band): the columns
    name, unit, missed_over and missed_up_to (the band's ends in the threshold's own unit), gain_possible (patients in
    the band) and gain_confirmed (those of whom everything else is known and met). ``bands`` are shares of the
    threshold: with the default a platelet threshold of 30 has bands up to 3, 7.5, 15 and beyond. The patients of a
    criterion add up to its ``gain_possible`` in ``impact``.

    With ``patient_level=True`` one row a patient, marked as internal in its first column, which every file written
    from it keeps: criterion, name, threshold (the one to move), limit (its value in force), needs (what it
    would have to be, such as "max_age >= 74"), missed_by (the distance from there to the limit, in ``unit``),
    n_unknown (other criteria not decided).
    ``missed_by`` is 0 for a value that stands on a strict limit, and for a bounded value counts from its nearer end.
    It is missing where the criterion has no min_* or max_* threshold that would let this patient in; where several
    must move together, ``threshold`` and ``needs`` name them all. If one of several would do, the one that is missed
    by the smallest share is given.

    Raises FeasibilityError for a cohort that was not the one screened, for counts without patients, and where
    ``internal=False`` asks for patient-level rows to be released: they cannot be.

    >>> import pandas as pd
    >>> import feasibility as fz
    >>> @fz.inclusion("I1", "platelets above 30")
    ... def platelets(platelets_10e9_l, *, min_platelets=30):
    ...     return platelets_10e9_l > min_platelets
    >>> cohort = pd.DataFrame({"platelets_10e9_l": pd.array([90, 28, 12], dtype="Float64")})
    >>> screening = fz.screen(cohort, fz.Protocol("demo", "Demo", [platelets]))
    >>> near_misses(cohort, screening, patient_level=True).missed_by.tolist()
    [2.0, 18.0]
    """
    if patient_level and not internal:
        raise FeasibilityError("Patient-level rows are internal and cannot be released; leave patient_level=False.")
    edges = _edges(bands)
    cohort = screened_cohort(cohort, screening)
    one = counted(screening.failed) == 1
    unknown = counted(screening.unknown)
    parts = []
    for i, criterion in enumerate(screening.protocol.assessable):
        rows = np.flatnonzero(one & fails(screening, i))
        found = _missed(criterion, cohort.iloc[rows])
        found.insert(0, "name", criterion.name)
        found.insert(0, "criterion", criterion.id)
        parts.append(found.assign(n_unknown=unknown[rows], row=rows))
    table = pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True).sort_values("row")
    if patient_level:
        patients = table.set_index(screening.index[table.row]).rename_axis("patient_id")
        return mark_internal(patients[COLUMNS], "Near misses")
    return _banded(table, edges, screening)


def _edges(bands) -> tuple[float, ...]:
    edges = tuple(float(b) for b in bands)
    if not edges or any(b <= 0 for b in edges) or list(edges) != sorted(set(edges)):
        raise FeasibilityError(f"bands is {bands!r}; give rising shares of the threshold above 0, such as (0.1, 0.5).")
    return edges


def _missed(criterion, rows: pd.DataFrame) -> pd.DataFrame:
    """For patients who fail this criterion: the threshold to move, where to, and the distance."""
    n = len(rows)
    out = {c: np.full(n, "", dtype=object) for c in ("threshold", "limit", "needs", "missed_by", "unit")}
    out |= {c: np.full(n, np.nan) for c in ("limit", "missed_by")}
    nearest = np.full(n, np.inf)
    settings = [s for s in criterion.settings if s.direction and criterion.values[s.name] is not None]
    if n and settings:
        for s in settings:
            limit = float(criterion.values[s.name])
            needs, strict = _critical(criterion, rows, s, {})
            share = np.abs(needs - limit) / (abs(limit) or 1.0)
            better = np.isfinite(needs) & (share < nearest)
            nearest[better] = share[better]
            out["threshold"][better], out["limit"][better], out["unit"][better] = s.name, limit, s.unit
            out["needs"][better] = [_said(s, v, x) for v, x in zip(needs[better], strict[better], strict=True)]
            out["missed_by"][better] = [float(f"{v:.12g}") for v in np.abs(needs - limit)[better]]
        stuck = np.flatnonzero(~np.isfinite(nearest))
        if len(stuck) and len(settings) > 1:
            for row, (named, said) in zip(stuck, _together(criterion, rows.iloc[stuck], settings), strict=True):
                out["threshold"][row], out["needs"][row] = named, said
    return pd.DataFrame(out)


def _said(setting, value: float, strict: bool) -> str:
    """What a threshold must be: ``max_age >= 74``, ``min_cd3 < 0.402``."""
    sign = ("<" if setting.direction < 0 else ">") + ("" if strict else "=")
    return f"{setting.name} {sign} {value:.10g}"


def _critical(criterion, rows: pd.DataFrame, setting, others: dict) -> tuple[np.ndarray, np.ndarray]:
    """Each row's value of one threshold at which it stops to fail (NaN: none), and whether only beyond it.

    The threshold is handed to the criterion as a column, one value a row; the other thresholds are given. Nearly
    always the value is one of the row's own cells, found by bisecting over them; where it is not (a product, a sum),
    by bisecting numbers. Both need only that min_* and max_* relax in one direction.
    """
    now, way = float(criterion.values[setting.name]), setting.direction
    own = _cells(criterion, rows)
    far = now + way * 1000 * (1 + abs(now) + np.abs(own).max(axis=1, initial=0.0, where=np.isfinite(own)))

    def fail(values):
        return _fail(criterion, rows, others | {setting.name: values})

    try:
        open_ = ~fail(far)
        if not open_.any():
            return np.full(len(rows), np.nan), np.zeros(len(rows), dtype=bool)
        value = _nearest_cell(fail, own, far, now, way)
        unsure = open_ & (
            fail(np.nextafter(value, way * np.inf)) | ((value != now) & ~fail(np.nextafter(value, -way * np.inf)))
        )
        if unsure.any():
            value = np.where(unsure, _bisected(fail, far, now), value)
        return np.where(open_, value, np.nan), fail(value)
    except (ValueError, TypeError, KeyError):
        return _whole_steps(criterion, rows, setting, others), np.zeros(len(rows), dtype=bool)


def _nearest_cell(fail, own: np.ndarray, far: np.ndarray, now: float, way: int) -> np.ndarray:
    """The first of the limit in force and the row's own cells, going outward, beyond which the row does not fail."""
    outward = np.where(np.isfinite(own) & ((own - now) * way > 0), own, far[:, None])
    steps = np.column_stack([np.full(len(own), now), np.sort(outward * way, axis=1) * way])
    low, high, rows = np.full(len(own), -1), np.full(len(own), steps.shape[1] - 1), np.arange(len(own))
    while (high - low > 1).any():
        middle = np.where(high - low > 1, (low + high) // 2, high)
        still = fail(np.nextafter(steps[rows, middle], way * np.inf))
        active = high - low > 1
        low, high = np.where(active & still, middle, low), np.where(active & ~still, middle, high)
    return steps[rows, high]


def _bisected(fail, far: np.ndarray, now: float) -> np.ndarray:
    near = np.full(len(far), now)
    for _ in range(STEPS):
        middle = near + (far - near) / 2
        still = fail(middle)
        near, far = np.where(still, middle, near), np.where(still, far, middle)
    # 17 digits of a product say nothing that 12 do not.
    rounded = np.array([float(f"{v:.12g}") for v in far])
    return np.where(fail(rounded), far, rounded)


def _whole_steps(criterion, rows: pd.DataFrame, setting, others: dict) -> np.ndarray:
    """The same for a threshold that the criterion does not take as a column (such as k of n): whole steps, up to 32."""
    needs, now = np.full(len(rows), np.nan), criterion.values[setting.name]
    for step in range(32, 0, -1):
        value = now + setting.direction * step
        try:
            needs[~_fail(criterion, rows, others | {setting.name: value})] = value
        except (ValueError, TypeError, KeyError):
            continue
    return needs


def _together(criterion, rows: pd.DataFrame, settings) -> list[tuple[str, str]]:
    """Rows that no single threshold lets in: what each must be when the others give way altogether, in words."""
    wide = {s.name: float(s.direction) * 1e12 for s in settings}
    needs, strict, moved, beyond = {}, {}, {}, {}
    for s in settings:
        now = float(criterion.values[s.name])
        others = {k: v for k, v in wide.items() if k != s.name}
        passes_now = ~_fail(criterion, rows, others)
        needs[s.name], strict[s.name] = _critical(criterion, rows, s, others)
        moved[s.name] = np.isfinite(needs[s.name]) & ~passes_now
        beyond[s.name] = np.where(moved[s.name], np.nextafter(needs[s.name], s.direction * np.inf), now)
    try:
        enough = ~_fail(criterion, rows, beyond)
    except (ValueError, TypeError, KeyError):
        enough = np.zeros(len(rows), dtype=bool)
    found = []
    for r in range(len(rows)):
        mine = [s for s in settings if enough[r] and moved[s.name][r]]
        words = [_said(s, needs[s.name][r], strict[s.name][r]) for s in mine]
        found.append((" + ".join(s.name for s in mine), ", ".join(words)))
    return found


def _fail(criterion, rows: pd.DataFrame, values: dict) -> np.ndarray:
    columns = {k: pd.Series(v, dtype="Float64") if isinstance(v, np.ndarray) else v for k, v in values.items()}
    return statuses(criterion, rows, **columns)[0]


def _cells(criterion, rows: pd.DataFrame) -> np.ndarray:
    """The numbers the criterion reads of each row: (rows, columns), NaN where missing."""
    names = [c for name in criterion.reads for c in (name, name + UPPER)
             if c in rows.columns and str(rows[c].dtype) in ("Float64", "Int64")]  # fmt: skip
    if not names:
        return np.zeros((len(rows), 0))
    return np.stack([rows[c].to_numpy(dtype=float, na_value=np.nan) for c in names], axis=1)


def _banded(table: pd.DataFrame, edges, screening) -> pd.DataFrame:
    known = table.missed_by.notna()
    base = table.limit.abs().where(table.limit != 0, 1.0)
    share = (table.missed_by / base).to_numpy(dtype=float)
    # Rounding must not push a value on an edge into the next band: 33 misses a limit of 30 by exactly 10 %.
    band = np.searchsorted(np.asarray(edges), np.where(known, share, 0.0) - 1e-9)
    over, upto = np.array([0.0, *edges])[band] * base, np.array([*edges, np.inf])[band] * base
    words = [f"up to {edges[0]:.0%}", *(f"{a:.0%} to {b:.0%}" for a, b in zip(edges, edges[1:], strict=False)),
             f"over {edges[-1]:.0%}"]  # fmt: skip
    together = ~known & (table.threshold != "")
    named = np.where(known, np.array(words, dtype=object)[band], np.where(together, _TOGETHER, _NO_THRESHOLD))
    place = {c.id: i for i, c in enumerate(screening.protocol.assessable)}
    work = table.assign(band=named, missed_over=over.where(known), missed_up_to=upto.where(known),
                        rank=np.where(known, band, len(words)), place=table.criterion.map(place),
                        gain_confirmed=(table.n_unknown == 0).astype(int))  # fmt: skip
    work["unit"] = work.unit.where(known, "")
    grouped = work.groupby(["place", "criterion", "threshold", "rank", "band"], sort=True)
    result = grouped.agg(name=("name", "first"), unit=("unit", "first"), missed_over=("missed_over", "first"),
                         missed_up_to=("missed_up_to", "first"), gain_possible=("criterion", "size"),
                         gain_confirmed=("gain_confirmed", "sum"))  # fmt: skip
    total = int((counted(screening.failed) == 1).sum())
    same("the near misses are the patients who fail one criterion", result.gain_possible.sum(), total)
    result = result.droplevel(["place", "rank"])
    return result.astype({"gain_possible": int, "gain_confirmed": int})
