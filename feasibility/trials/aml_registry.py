"""A synthetic registry of relapsed or refractory AML: complete patients, and what a hospital would know of them.

Synthetic, not patients. Every number, with its source, is in ``aml_registry.toml``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources

import numpy as np
import pandas as pd

from feasibility.bounded import UPPER
from feasibility.cohort.windows import months_since
from feasibility.synthetic import (
    BLOCK,
    Draws,
    Hole,
    Parameters,
    SyntheticError,
    blocks,
    cohort_index,
    empty_store,
    erase,
    load_parameters,
    to_extension,
)
from feasibility.trials.aml import AML_COLUMNS
from feasibility.trials.aml_patient import copula, draw_patients, history_months

SITES = ("main campus", "east campus", "south campus")
TEXT = {"site_id": SITES}
CALIBRATION_SEED = 20240901
"""Patients on whom the intercepts of the missingness are solved: the same ones whatever n and the seed, so that a
patient's holes do not depend on the other patients."""

CBC = ("hemoglobin_g_l", "platelets_10e9_l", "lymphocytes_10e9_l", "pb_blast_percent")
RATIOS = ("ast_x_uln", "alt_x_uln", "bilirubin_x_uln", "bilirubin_direct_x_uln")
FROM_CR = (
    "months_from_cr_to_relapse", "months_from_first_cr_to_first_relapse", "shortest_months_from_cr_to_relapse",
)  # fmt: skip
FROM_CONSOLIDATION = tuple(
    name.replace("cr_to", "consolidation_to").replace("_cr", "_consolidation") for name in FROM_CR
)
COURSES = (
    "n_induction_courses", "n_induction_courses_intensive", "n_induction_courses_any", "n_consolidation_courses",
    "n_salvage_courses", "n_prior_courses",
)  # fmt: skip

# What each hole erases, and the fact that says which patients have the field ("" = all of them).
ERASED: dict[str, tuple[tuple[str, ...], str]] = {
    "cbc": (CBC, ""),
    "chemistry": ((*RATIOS, "creatinine_umol_l"), ""),
    "uln": (RATIOS, ""),
    "creatinine_earlier": (("creatinine_earlier_umol_l",), ""),
    "cd3": (("cd3_10e9_l", "cd3_percent_of_lymphocytes"), ""),
    "ecog": (("ecog",), ""),
    "cr_date": (FROM_CR, "relapsed"),
    "relapse_date": ((*FROM_CR, *FROM_CONSOLIDATION), "relapsed"),
    "courses": ((*COURSES, *FROM_CONSOLIDATION), ""),
    "em": (("em_active",), ""),
    "lvef": (("lvef_min_pct", "lvef_latest_pct"), ""),
    "nyha_without_heart_failure": (("nyha_class", "nyha_class_worst"), "no_heart_failure"),
    "nyha_with_heart_failure": (("nyha_class", "nyha_class_worst"), "heart_failure"),
    "cardiomyopathy_severity": (("nonischemic_cardiomyopathy_severe",), "cardiomyopathy"),
    "serology": (("hbsag", "anti_hbc", "anti_hcv", "hiv", "hiv_viraemic", "viral_infection_controlled"), ""),
    "hbv_dna_hbsag": (("hbv_dna_iu_ml",), "hbsag"),
    "hbv_dna_core_only": (("hbv_dna_iu_ml",), "core_only"),
    "hbv_dna_negative": (("hbv_dna_iu_ml",), "hbv_negative"),
    "hcv_rna": (("hcv_rna_detected",), "anti_hcv"),
    "hav_igm": (("months_since_hav_igm_positive",), ""),
    "infection": (("active_infection", "infection_severe", "infection_controlled"), ""),
    "steroid": (("steroid_days", "steroid_days_ever", "steroid_mg_day_mean", "steroid_mg_day_current",
                 "steroid_mg_day_max", "steroid_mg_day_max_ever"), ""),
    "pregnancy_test": (("pregnancy_test", "pregnant"), "childbearing"),
    "childbearing": (("childbearing_potential",), "female"),
    "immunosuppressant_stop": (("days_since_immunosuppressant",), "hsct"),
    "gvhd": (("gvhd_active", "gvhd_significant", "gvhd_ever"), "allogeneic"),
    "allergy": (("severe_allergy", "severe_allergy_class"), ""),
}  # fmt: skip
BLURRED = {"cr_month_only": "cr_date", "relapse_month_only": "relapse_date"}
"""Dates known to the month, among the patients whose date is not missing altogether."""


@dataclass(frozen=True)
class Registry:
    """Synthetic patients: ``truth`` is complete, ``observed`` is the same patients with what is not recorded unknown.

    ``holes`` has one boolean column per field that can be missing, before any declared fill. ``latent()`` returns the
    dates and raw values behind the columns, for writing event tables.
    """

    truth: pd.DataFrame
    holes: pd.DataFrame
    parameters: Parameters
    seed: int
    index_date: np.datetime64
    first_block: int = 0
    bounds: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(repr=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def observed(self) -> pd.DataFrame:
        """The truth with its holes, month-precision dates as bounds, and the declared fills of the cohort applied."""
        if self.holes.shape[1] == 0:
            return self.truth.copy(deep=False)
        return _fill(self.unfilled())

    def unfilled(self) -> pd.DataFrame:
        """``observed`` before the cohort's declared fills."""
        missing: dict[str, np.ndarray] = {}
        for hole in [name for name in self.holes if name in ERASED]:
            mask = self.holes[hole].to_numpy()
            for name in ERASED[hole][0]:
                for one in filter(None, (name, AML_COLUMNS[name].companion)):
                    missing[one] = missing[one] | mask if one in missing else mask
        columns = {}
        for name, series in self.truth.items():
            if name not in missing:
                columns[name] = series
            elif name in self.bounds:
                for physical, bound in zip((name, name + UPPER), self.bounds[name], strict=True):
                    columns[physical] = erase(to_extension(bound, "Float64"), missing[name])
            else:
                columns[name] = erase(series.array, missing[name])
        frame = pd.DataFrame(columns, index=self.truth.index)
        frame.attrs = self.truth.attrs
        return frame

    def latent(self) -> pd.DataFrame:
        """One row a patient: dates of diagnosis, remissions and relapses, raw laboratory values with their limits, ...

        Drawn again from the seed, so it costs no memory until it is asked for.
        """
        parts = []
        for block, rows in blocks(len(self)):
            draws = Draws(self.seed, self.first_block + block, rows.stop - rows.start)
            facts = draw_patients(draws, self.parameters, self.index_date)
            for name in [k for k, v in facts.items() if v.ndim == 2]:
                parts_2d = facts.pop(name)
                facts |= {f"{name}_{c + 1}": parts_2d[:, c] for c in range(parts_2d.shape[1])}
            parts.append(pd.DataFrame(facts))
        frame = pd.concat(parts, ignore_index=True)
        frame.index = self.truth.index
        return frame


def default_parameters(profile: str = "cn_tertiary") -> Parameters:
    """The shipped parameters; profile "western" is older."""
    with resources.as_file(resources.files("feasibility.trials") / "aml_registry.toml") as path:
        return load_parameters(path, profile)


def synthetic_registry(
    n: int,
    seed: int = 1,
    parameters: Parameters | Mapping | str | None = None,
    index_date: str = "2025-06-30",
    holes: bool = True,
) -> Registry:
    """``n`` synthetic patients; patient k is the same whatever n is.

    ``parameters`` is the name of a profile, a mapping of changes ({"age.mean": 63}), or complete Parameters. A million
    patients take about 1.2 GB complete and 3.6 GB with ``observed``; ``registry_blocks`` takes no more than a block.
    """
    return _draw(list(blocks(n)), seed, _parameters(parameters), _date(index_date), holes, n)


def registry_blocks(
    n: int,
    seed: int = 1,
    parameters: Parameters | Mapping | str | None = None,
    index_date: str = "2025-06-30",
    holes: bool = True,
) -> Iterator[Registry]:
    """The same patients as ``synthetic_registry``, 100,000 at a time, for more than memory holds."""
    p, date = _parameters(parameters), _date(index_date)
    for block, rows in blocks(n):
        yield _draw([(block, slice(0, rows.stop - rows.start))], seed, p, date, holes, n)


def _draw(chunks: list[tuple[int, slice]], seed: int, p: Parameters, date: np.datetime64, holes: bool, of: int):
    size, first_block = chunks[-1][1].stop, chunks[0][0]
    store = empty_store(AML_COLUMNS, size)
    masks: dict[str, np.ndarray] = {}
    bounds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for block, rows in chunks:
        draws = Draws(seed, block, rows.stop - rows.start)
        facts = draw_patients(draws, p, date)
        for name, values in _cells(draws, facts, date).items():
            store[name][rows] = values
        if holes:
            for name, mask in _holes(draws, p, facts, date).items():
                masks.setdefault(name, np.empty(size, dtype=bool))[rows] = mask
            for name, pair in _bounds(facts, {k: masks[k][rows] for k in BLURRED}, date).items():
                for whole, part in zip(bounds.setdefault(name, (np.empty(size), np.empty(size))), pair, strict=True):
                    whole[rows] = part
    index = cohort_index(size, date, start=first_block * BLOCK)
    # Taken out one by one, so that no column is held twice.
    columns = {
        c.name: to_extension(store.pop(c.name), c.dtype, TEXT.get(c.name, c.values)) for c in AML_COLUMNS.columns
    }
    truth = pd.DataFrame(columns, index=index, copy=False)
    truth.attrs["feasibility"] = {
        "source": "synthetic, not patients", "generator": "feasibility.trials.aml_registry", "n": int(of),
        "seed": int(seed), "profile": p.profile, "parameters": p.fingerprint(), "index_date": str(date),
        "copula_repaired": copula(p).repaired,
    }  # fmt: skip
    return Registry(truth, pd.DataFrame(masks, index=index, copy=False), p, seed, date, first_block, bounds)


def registry_holes(p: Parameters) -> dict[str, Hole]:
    """Every hole with its rate and mechanism; "missing.mechanism" overrides the mechanism of them all."""
    for_all = p["missing.mechanism"]
    result = {}
    for name in (*ERASED, *BLURRED):
        own = p.section(f"missing.{name}")
        result[name] = Hole(name, **own | ({} if for_all == "as listed" else {"mechanism": for_all}))
    return result


def _parameters(parameters) -> Parameters:
    if isinstance(parameters, Parameters):
        return parameters
    if isinstance(parameters, str):
        return default_parameters(parameters)
    return default_parameters().replace(parameters or {})


def _date(index_date) -> np.datetime64:
    try:
        date = np.datetime64(str(index_date)[:10], "D")
    except ValueError:
        date = np.datetime64("NaT")
    if np.isnat(date):
        raise SyntheticError(f"The index date must be a day such as '2025-06-30'; got {index_date!r}.")
    return date


def _fill(cohort: pd.DataFrame) -> pd.DataFrame:
    from feasibility.cohort.fills import apply_fills

    return apply_fills(cohort, AML_COLUMNS, AML_COLUMNS.settings())


def _cells(draws: Draws, f: dict[str, np.ndarray], date: np.datetime64) -> dict[str, np.ndarray]:
    """The cohort's columns, complete: missing only where a value would mean nothing."""

    def months(days):
        known = np.isfinite(days)
        result = np.full(len(days), np.inf)
        result[known] = months_since(date - days[known].astype(int), date)
        return result

    def age(name, last, power=1.5):
        return draws.whole(f"age of {name}", 0, last, power)

    female_only = f["childbearing"]
    cbc, chemistry, lvef = age("cbc", 14), age("chemistry", 14), age("lvef", 56, 1)
    cells = {
        "synthetic": np.ones(len(f["site"]), dtype=bool),
        "site_id": f["site"], "age_years": f["age_years"], "age_exact_years": f["age_exact_years"],
        "sex": f["male"], "ecog": f["ecog"], "days_since_ecog": age("ecog", 28),
        "hemoglobin_g_l": f["hemoglobin"], "platelets_10e9_l": f["platelets"], "lymphocytes_10e9_l": f["lymphocytes"],
        "pb_blast_percent": f["blasts"], "cd3_10e9_l": f["cd3"], "cd3_percent_of_lymphocytes": f["cd3_share"],
        "days_since_rbc_transfusion": f["since_rbc"], "days_since_platelet_transfusion": f["since_plt"],
        "ast_x_uln": f["ast"] / f["ast_uln"], "alt_x_uln": f["alt"] / f["alt_uln"],
        "bilirubin_x_uln": f["bilirubin"] / f["bilirubin_uln"],
        "bilirubin_direct_x_uln": f["bilirubin_direct"] / f["bilirubin_direct_uln"],
        "creatinine_umol_l": f["creatinine"], "creatinine_earlier_umol_l": f["creatinine_earlier"],
        "gilbert": f["gilbert"],
        "pregnancy_test": np.where(female_only, f["pregnant"], -1),
        "days_since_pregnancy_test": np.where(female_only, age("pregnancy test", 14), np.nan),
        "childbearing_potential": female_only, "pregnant": f["pregnant"], "lactating": f["lactating"],
        "heart_failure": f["heart_failure"], "nyha_class": f["nyha"], "nyha_class_worst": f["nyha_worst"],
        "months_since_nyha_class": months(age("nyha", 330)), "months_since_mi": months(f["mi_days"]),
        "months_since_cabg": months(f["cabg_days"]),
        "months_since_ventricular_arrhythmia": months(f["arrhythmia_days"]),
        "months_since_unexplained_syncope": months(f["syncope_days"]),
        "nonischemic_cardiomyopathy": f["cardiomyopathy"],
        "nonischemic_cardiomyopathy_severe": np.where(f["cardiomyopathy"], f["cardiomyopathy_severe"], -1),
        "lvef_lowest_ever_pct": f["lvef_lowest"], "lvef_min_pct": f["lvef"], "lvef_latest_pct": f["lvef_latest"],
        "days_since_lvef_min_pct": lvef, "days_since_lvef_latest_pct": lvef,
        "months_since_hepatitis_a": months(f["hav_days"]),
        "months_since_hav_igm_positive": np.where(f["hav_igm"], months(f["hav_days"]), np.inf),
        "hbsag": f["hbsag"], "anti_hbc": f["anti_hbc"], "hbv_dna_iu_ml": f["hbv_dna"], "anti_hcv": f["anti_hcv"],
        "hcv_rna_detected": f["hcv_rna"], "hiv": f["hiv"], "hiv_viraemic": f["hiv_viraemic"],
        "viral_infection_controlled": f["viral_controlled"], "active_infection": f["active_infection"],
        "days_since_active_infection": age("infection", 7, 1), "infection_severe": f["infection_severe"],
        "infection_controlled": f["infection_controlled"], "aids_history": f["aids"],
        "nonsteroid_is_days": f["nonsteroid_days"], "nonsteroid_is_days_ever": f["nonsteroid_days_ever"],
        "steroid_days": f["steroid_days"], "steroid_days_ever": f["steroid_days_ever"],
        "steroid_mg_day_mean": f["steroid_mean"], "steroid_mg_day_current": f["steroid_current"],
        "steroid_mg_day_max": f["steroid_max"], "steroid_mg_day_max_ever": f["steroid_max_ever"],
        "aml_subtype": f["apl"], "n_relapses": f["n_relapses"], "n_induction_courses": f["induction"],
        "n_induction_courses_intensive": f["induction_intensive"], "n_induction_courses_any": f["induction_any"],
        "cr_ever": f["cr_ever"], "best_response_induction": f["best_induction"],
        "n_consolidation_courses": f["consolidation"], "consolidation_failed": f["consolidation_failed"],
        "n_salvage_courses": f["salvage"], "best_response_salvage": f["best_salvage"],
        "n_prior_courses": f["prior_courses"], "disease_status": f["disease_status"], "em_active": f["em_active"],
        "days_since_em_active": age("em", 56), "em_ever": f["em_ever"], "hsct": f["hsct"],
        "hsct_type": np.where(f["hsct"], ~f["allogeneic"], -1),
        "days_since_immunosuppressant": f["days_since_immunosuppressant"], "gvhd_active": f["gvhd_active"],
        "days_since_gvhd_active": np.where(f["allogeneic"], age("gvhd", 28), 0.0),
        "gvhd_significant": f["gvhd_significant"], "gvhd_ever": f["gvhd_ever"], "severe_allergy": f["severe_allergy"],
        "severe_allergy_class": f["severe_allergy"] | f["severe_allergy_of_class"],
    } | history_months(f)  # fmt: skip
    # One tube, one day: values of a panel share their age.
    cells |= {f"days_since_{name}": cbc for name in CBC}
    cells |= {f"days_since_{name}": chemistry for name in (*RATIOS, "creatinine_umol_l")}
    cells |= {f"days_since_{name}": age("cd3", 14) for name in ("cd3_10e9_l", "cd3_percent_of_lymphocytes")}
    return cells


def _among(f: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The facts, with those that only say who has a field."""
    return f | {
        "female": ~f["male"], "no_heart_failure": ~f["heart_failure"], "hbv_negative": ~f["anti_hbc"],
        "core_only": f["anti_hbc"] & ~f["hbsag"],
    }  # fmt: skip


def _holes(draws: Draws, p: Parameters, f: dict[str, np.ndarray], date: np.datetime64) -> dict[str, np.ndarray]:
    intercepts, f = _intercepts(p, date), _among(f)
    masks = {}
    for name, hole in registry_holes(p).items():
        among = ~masks[BLURRED[name]] & f["relapsed"] if name in BLURRED else f.get(ERASED[name][1], True)
        masks[name] = among & hole.punch(draws, f, intercepts[name])
    return masks


@functools.lru_cache(maxsize=8)
def _intercepts(p: Parameters, date: np.datetime64) -> dict[str, float]:
    draws = Draws(CALIBRATION_SEED, 0, BLOCK)
    f = _among(draw_patients(draws, p, date))
    intercepts, masks = {}, {}
    for name, hole in registry_holes(p).items():
        among = ~masks[BLURRED[name]] & f["relapsed"] if name in BLURRED else f.get(ERASED[name][1], slice(None))
        intercepts[name] = hole.intercept(hole.score(f, BLOCK)[among])
        if name in BLURRED.values():
            masks[name] = hole.punch(draws, f, intercepts[name])
    return intercepts


def _bounds(f, month_only: dict[str, np.ndarray], date: np.datetime64) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times to relapse with their bounds where a date is known to the month only."""
    exact = history_months(f)
    cr, relapse = month_only["cr_month_only"], month_only["relapse_month_only"]
    rows = cr | relapse
    some = {name: f[name][rows] for name in ("n_relapses", "remission_date", "relapse_date", "end_of_consolidation")}
    starts = np.where(cr[rows, None], _month_ends(some["remission_date"]), some["remission_date"])
    ends = np.where(relapse[rows, None], _month_ends(some["relapse_date"]), some["relapse_date"])
    shortest = history_months(some, {"remission_date": starts[1], "relapse_date": ends[0]})
    longest = history_months(some, {"remission_date": starts[0], "relapse_date": np.minimum(ends[1], date)})
    result = {}
    for name, value in exact.items():
        low, high = value.copy(), value.copy()
        low[rows], high[rows] = shortest[name], longest[name]
        result[name] = low, high
    return result


def _month_ends(dates: np.ndarray) -> np.ndarray:
    """First and last day of the month of each date, stacked."""
    month = dates.astype("M8[M]")
    return np.stack([month.astype("M8[D]"), (month + 1).astype("M8[D]") - 1])
