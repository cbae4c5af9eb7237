"""Columns that only acute leukaemia and transplantation need, shared by the AML trials."""

from __future__ import annotations

from feasibility.bounded import Range
from feasibility.cohort.common import GENERAL, INF, OBSERVED, PER_LITRE, lab
from feasibility.cohort.declared import BuildStep
from feasibility.cohort.schema import CohortTable, Column, Fill
from feasibility.trials.aml_antigen import SPECIMENS, build_antigen, build_subtype, gate_t_cells
from feasibility.trials.aml_history import REMISSION, build_history
from feasibility.trials.aml_transplant import build_transplant

RESPONSES = (*REMISSION, "MLFS", "PR", "NR", "PD")
COURSES = "course counts are known once the patient has one row in the courses table"
SPEC = "clinical specification, I1 and 9.5"


def _cd3_from_percent(c):
    return c["lymphocytes_10e9_l"] * c["cd3_percent_of_lymphocytes"] * 0.01


def _older_of_both(c):
    a, b = c["days_since_lymphocytes_10e9_l"], c["days_since_cd3_percent_of_lymphocytes"]
    return a.where(a >= b, b).mask(a.isna() | b.isna())


def _countable(c):
    """Lymphocytes can be trusted: analysers count blasts among them when more than 5 % circulate."""
    return (c["lymphocytes_10e9_l"] >= 0) & ~(c["pb_blast_percent"] > 5).fillna(False)


def _count(name, doc, **more):
    return Column(name=name, dtype="Int64", hard=(0, 20), soft=(0, 8), doc=doc, source=SPEC, **more)


def _courses(name, doc):
    return _count(name, doc, absence="closed", why=COURSES, events="courses")


def _months(name, doc):
    return Column(name=name, dtype="Float64", unit="mo", hard=(0, INF), doc=doc, source=SPEC, absence="closed",
                  why="a patient known never to have relapsed has no such time: never", events="responses",
                  fills=(Fill(INF, lambda c: c["n_relapses"] == 0, "never relapsed", ("n_relapses",)),))  # fmt: skip


def _response(name, doc):
    return Column(name=name, dtype="string", values=RESPONSES, codes={"CR_MRD-": "CR_MRDneg", "NE": None}, doc=doc,
                  events="responses", source=SPEC)  # fmt: skip


T_CELLS = (
    lab("cd3_percent_of_lymphocytes", "CD3+ T cells as a share of lymphocytes.", unit="%", hard=(0, 100),
         codelist="cd3_percent", lower_is_worse=True),
    lab("pb_blast_percent", "Blasts in peripheral blood.", unit="%", hard=(0, 100), codelist="pb_blasts"),
    lab(
        "cd3_10e9_l", "CD3+ T lymphocytes, absolute.", unit="10*9/L", units=PER_LITRE, hard=(0, 50), soft=(0, 5),
        codelist="cd3_absolute", lower_is_worse=True,
        settings={"derive_from_percent": True, "bound_by_lymphocytes": True, "leukaemic_cd3_gate": "ignored"},
        fills=(
            Fill(_cd3_from_percent, lambda c: (c["cd3_percent_of_lymphocytes"] >= 0) & _countable(c),
                 "lymphocytes times the CD3+ share of lymphocytes, as old as the older of both",
                 ("lymphocytes_10e9_l", "cd3_percent_of_lymphocytes", "pb_blast_percent"),
                 setting="derive_from_percent", age=_older_of_both, optional=("pb_blast_percent",)),
            Fill(lambda c: Range(0.0, c["lymphocytes_10e9_l"]), _countable,
                 "T cells are at most the lymphocytes (not used with more than 5 % blasts, which analysers count in)",
                 ("lymphocytes_10e9_l", "pb_blast_percent"), setting="bound_by_lymphocytes",
                 age=lambda c: c["days_since_lymphocytes_10e9_l"], optional=("pb_blast_percent",)),
        ),
    ),
)  # fmt: skip

HISTORY = (
    Column(
        name="aml_subtype", dtype="string", values=("aml_non_apl", "apl", "mpal", "other"), events="diagnoses",
        doc="Disease by WHO/ICC or ICD-10; with AML and APL codes together, APL decides.", codelist="aml", source=SPEC,
    ),
    _count("n_relapses", "Relapses so far.", events="responses",
           settings={"count_extramedullary_only": True, "count_molecular": False, "remissions": REMISSION}),
    _courses("n_induction_courses", "Induction courses that were intensive, or venetoclax with hypomethylation."),
    _courses("n_induction_courses_intensive", "Intensive induction courses."),
    _courses("n_induction_courses_any", "Induction courses of any intensity."),
    Column(name="cr_ever", dtype="boolean", doc="CR, CRh or CRi ever reached before the index date.",
           events="responses", source=SPEC),
    _response("best_response_induction", "Best response to induction."),
    _courses("n_consolidation_courses", "Consolidation courses before the last relapse."),
    Column(name="consolidation_failed", dtype="boolean", doc="Failure of consolidation is documented in words.",
           events="responses"),
    _months("months_from_cr_to_relapse", "From the last remission to the last relapse."),
    _months("months_from_first_cr_to_first_relapse", "From the first remission to the first relapse."),
    _months("shortest_months_from_cr_to_relapse", "Shortest time from a remission to the relapse after it."),
    _months("months_from_consolidation_to_relapse", "From the end of the last consolidation to the last relapse."),
    _months("months_from_first_consolidation_to_first_relapse",
            "From the end of the first consolidation to the first relapse."),
    _months("shortest_months_from_consolidation_to_relapse",
            "Shortest time from the end of a consolidation to the relapse after it."),
    _courses("n_salvage_courses", "Salvage courses after the last relapse."),
    _response("best_response_salvage", "Best response to salvage after the last relapse."),
    _courses("n_prior_courses", "Systemic courses of any kind before the index date."),
    Column(
        name="disease_status", dtype="string",
        values=("primary_refractory", "relapsed", "active", "mrd_only", "remission"),
        doc="State of the leukaemia at the last assessment.", events="responses", source=SPEC,
    ),
    Column(name="em_active", dtype="boolean", dated="days", events="responses", source=SPEC,
           doc="Extramedullary leukaemia at the latest assessment.",
           settings={"window_days": 180, "sites": "all including CNS", "nodes_liver_spleen": False}),
    Column(name="em_ever", dtype="boolean", doc="Extramedullary leukaemia ever.", events="responses"),
)  # fmt: skip

ANTIGEN = (
    Column(name="ex02_positive", dtype="boolean", dated="days", events="flow",
           doc="EX02 on leukaemic cells of any declared specimen, as the laboratory reports it.",
           settings={"specimens": SPECIMENS}),
    Column(name="ex02_percent", dtype="Float64", unit="%", hard=(0, 100), events="flow",
           doc="Share of leukaemic cells with EX02 on the surface, best specimen.", settings={"specimens": SPECIMENS}),
)  # fmt: skip

TRANSPLANT = (
    Column(name="hsct", dtype="boolean", doc="Any haematopoietic stem cell transplantation.", absence="closed",
           why=OBSERVED, events="transplants, procedures", codelist="hsct"),
    Column(name="hsct_type", dtype="string", asked_if=("hsct", True), values=("allogeneic", "autologous"),
           events="transplants",
           codes={"allo": "allogeneic", "auto": "autologous"}, doc="Allogeneic if any transplant was."),
    Column(
        name="days_since_immunosuppressant", dtype="Float64", unit="d", hard=(0, INF),
        events="transplants, medications",
        doc="Days since the last immunosuppressant; 0 while it goes on, never if none was given.",
        absence="structural", why="asked of transplant recipients only", codelist="immunosuppressants",
        settings={"steroid_floor_mg": 7.5}, source="clinical specification, E7 and 9.13",
        fills=(Fill(INF, lambda c: ~c["hsct"], "no transplant", ("hsct",)),),
    ),
    *(
        Column(name=name, dtype="boolean", dated="days" if name == "gvhd_active" else "", doc=doc, events="transplants",
               absence="structural", why="needs an allogeneic transplant", source="clinical specification, E7",
               settings={"window_days": 180} if name == "gvhd_active" else {},
               fills=(
                   Fill(False, lambda c: ~c["hsct"], "no transplant", ("hsct",), age=0.0),
                   Fill(False, lambda c: c["hsct_type"] == "autologous", "autologous transplant", ("hsct_type",),
                        age=0.0),
               ))
        for name, doc in (
            ("gvhd_active", "Any sign of graft-versus-host disease at the latest assessment."),
            ("gvhd_significant", "Active and acute grade II or more, or chronic moderate or severe."),
            ("gvhd_ever", "Graft-versus-host disease ever."),
        )
    ),
)  # fmt: skip

PLANNED_DRUGS = (
    Column(name="severe_allergy", dtype="boolean", absence="closed", events="allergies", statistic="severe_reaction",
           why="an allergy list that has any row, NKDA or 'reviewed' is complete", codelist="planned_drugs",
           doc="Severe reaction to a drug planned for the study (exact agents).", source="clinical specification, E6"),
    Column(name="severe_allergy_class", dtype="boolean", absence="closed", events="allergies",
           statistic="severe_reaction", lists={"agents": "planned_drugs"},
           why="an allergy list that has any row, NKDA or 'reviewed' is complete", codelist="planned_drug_classes",
           doc="Severe reaction to a drug of the class of a planned one."),
)  # fmt: skip

STEPS = (
    BuildStep("kind of leukaemia", build_subtype), BuildStep("T cells", gate_t_cells),
    BuildStep("history of the leukaemia", build_history),
    BuildStep("transplantation", build_transplant), BuildStep("antigen", build_antigen),
)  # fmt: skip
OWN_WORDS = (
    "aml", "leuk", "白血病", "chemo", "化疗", "antiemetic", "emesis", "nausea", "止吐", "premed", "预处理", "condition",
    "gvhd", "移植", "transplant", "hsct", "engraft", "transfusion", "输血", "differentiation",
)  # fmt: skip
"""Indications that are the leukaemia, its treatment or a transplantation: drugs given for them are ignored in E2."""

AML_COLUMNS = GENERAL | CohortTable((*T_CELLS, *HISTORY, *ANTIGEN, *TRANSPLANT, *PLANNED_DRUGS), STEPS, OWN_WORDS)
"""The patient table of the AML trials."""
