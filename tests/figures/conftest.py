"""Tables shaped like the seed trial's, counted here with plain numpy so that figures never check themselves."""

import itertools

import numpy as np
import pandas as pd
import pytest

# id, short name, text, share failing, share unknown
CRITERIA = [
    ("I1.1", "non_apl_aml", "patients diagnosed with acute myeloid leukemia (AML)", 0.03, 0.01),
    ("I1.2", "refractory_aml", "meeting the diagnostic criteria for refractory AML are eligible, including: initial "
     "treatment cases with no response after two courses of standard therapy; relapse within 12 months", 0.30, 0.15),
    ("I1.3", "active_leukemia", "refractory AML", 0.10, 0.05),
    ("I3", "ecog", "ECOG performance status score of 0-2;", 0.25, 0.25),
    ("I4", "age", "Age ≥18 and ≤70 years, any gender;", 0.25, 0.001),
    ("I5.1", "hemoglobin", "hemoglobin > 60g/L", 0.13, 0.02),
    ("I5.2", "cd3_t_cells", "normal T lymphocyte count (CD3+) > 0.5×10^9/L", 0.30, 0.45),
    ("I5.3", "platelets", "platelet count > 30×10^9/L", 0.45, 0.02),
    ("I6.1", "pregnancy_test", "Negative pregnancy test for women of childbearing potential", 0.005, 0.12),
    ("E1.1", "hepatitis_a", "Active hepatitis A", 0.002, 0.02),
    ("E1.2", "hepatitis_b", "Active hepatitis B", 0.05, 0.08),
    ("E1.3", "hepatitis_c", "Active hepatitis C", 0.005, 0.05),
    ("E1.4", "hiv", "HIV infection", 0.002, 0.08),
    ("E1.5", "other_severe_infection", "other severe active infections that are not yet controlled;", 0.15, 0.30),
    ("E2.1", "aids", "History of acquired immune deficiency syndrome (AIDS)", 0.001, 0.02),
    ("E2.2", "long_term_immunosuppression", "long-term use of immunosuppressants due to other diseases", 0.03, 0.05),
    ("E3.1", "heart_failure_nyha_3_or_4", "New York Heart Association (NYHA) class III or IV heart failure",
     0.02, 0.05),
    ("E3.2", "infarction_or_bypass", "Myocardial infarction or coronary artery bypass surgery within the six months "
     "prior to enrollment", 0.01, 0.01),
    ("E3.3", "ventricular_arrhythmia_or_syncope", "Clinically significant ventricular arrhythmia or unexplained "
     "syncope", 0.02, 0.03),
    ("E3.4", "severe_cardiomyopathy", "History of severe non-ischemic cardiomyopathy", 0.01, 0.02),
    ("E3.5", "low_ejection_fraction", "History of cardiac dysfunction (left ventricular ejection fraction <45%) within "
     "8 weeks before enrollment", 0.04, 0.35),
    ("E4.1", "pregnant", "Pregnant", 0.004, 0.10),
    ("E4.2", "lactating", "lactating women", 0.001, 0.02),
    ("E5.1", "liver_dysfunction", "aspartate aminotransferase (AST) and alanine aminotransferase (ALT) levels "
     "exceeding 3 times the upper limit of normal", 0.08, 0.05),
    ("E5.2", "creatinine", "serum creatinine ≥ 178 μmol/L (decompensated phase)", 0.03, 0.02),
    ("E6", "severe_allergy", "History of severe allergic reactions to any drugs planned for use in this study;",
     0.01, 0.30),
    ("E7", "transplant_not_settled", "Recipients of hematopoietic stem cell transplantation must have discontinued "
     "immunosuppressants for at least 6 weeks before enrollment", 0.08, 0.10),
]  # fmt: skip

CHINESE = [
    "经两个疗程标准治疗后无应答的初治病例；达到完全缓解后12个月内复发且巩固治疗失败；12个月后复发且常规化疗无效",
    "血红蛋白 > 60g/L，正常T淋巴细胞计数（CD3+）> 0.5×10^9/L，血小板计数 > 30×10^9/L",
    "年龄≥18岁且≤70岁，性别不限",
    "活动性甲型、乙型、丙型肝炎、HIV感染，或其他尚未控制的严重活动性感染",
    "心功能情况：纽约心脏病协会（NYHA）III级或IV级心力衰竭",
    "严重肝肾功能不全：谷草转氨酶和谷丙转氨酶水平超过正常上限3倍",
    "造血干细胞移植受者必须在入组前至少6周停用免疫抑制剂，且无移植物抗宿主病征象",
]


def statuses(criteria, n, seed=7, easy=1.0):
    """One row per patient: 1 met, 0 failed, -1 unknown."""
    rng = np.random.default_rng(seed)
    columns = []
    for _, _, _, fail, unknown in criteria:
        u, v = rng.random(n), rng.random(n)
        columns.append(np.where(v < unknown * easy, -1, np.where(u < fail * easy, 0, 1)))
    return np.column_stack(columns)


def attrition_table(criteria, status):
    alive = np.ones(len(status), bool)
    known = np.ones(len(status), bool)
    rows = []
    for i, (key, name, text, *_) in enumerate(criteria):
        entering = alive.sum()
        alive = alive & (status[:, i] != 0)
        known = known & (status[:, i] != -1)
        confirmed = (alive & known).sum()
        rows.append(
            dict(criterion=key, kind="inclusion" if key.startswith("I") else "exclusion", name=name, reason=text,
                 n_entering=entering, n_excluded=entering - alive.sum(), n_undetermined=alive.sum() - confirmed,
                 n_confirmed=confirmed, n_remaining=alive.sum())
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("criterion").astype({c: "Int64" for c in rows[0] if c.startswith("n_")})


def impact_table(criteria, status):
    fails, unknown = status == 0, status == -1
    k, u = fails.sum(1), unknown.sum(1)
    rows = []
    for i, (key, name, *_) in enumerate(criteria):
        others_fail, others_unknown = k - fails[:, i], u - unknown[:, i]
        alone = fails[:, i] & (others_fail == 0)
        only = alone & (others_unknown == 0)
        rows.append(
            dict(criterion=key, kind="inclusion" if key.startswith("I") else "exclusion", name=name,
                 n_failing=fails[:, i].sum(), n_unknown=unknown[:, i].sum(), n_only_reason=only.sum(),
                 n_only_unknown=(unknown[:, i] & (k == 0) & (others_unknown == 0)).sum(),
                 gain_confirmed=((others_fail == 0) & (others_unknown == 0)).sum() - ((k == 0) & (u == 0)).sum(),
                 gain_possible=alone.sum(), shapley=float((fails[:, i] / np.maximum(k, 1)).sum()))
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("criterion")


def overlap_table(criteria, status):
    ids = np.array([c[0] for c in criteria])
    combos = pd.Series([tuple(ids[row == 0]) for row in status if (row == 0).any()]).value_counts()
    return pd.DataFrame({"n": combos.to_numpy()}, index=pd.Index(list(combos.index), tupleize_cols=False))


@pytest.fixture(scope="session")
def status():
    return statuses(CRITERIA, 12_480)


@pytest.fixture(scope="session")
def attrition(status):
    return attrition_table(CRITERIA, status)


@pytest.fixture(scope="session")
def impact(status):
    return impact_table(CRITERIA, status)


@pytest.fixture(scope="session")
def overlap(status):
    return overlap_table(CRITERIA, status)


@pytest.fixture(scope="session")
def long_criteria():
    """37 criteria, every second one in Chinese, with long names and texts."""
    texts = itertools.cycle(CHINESE)
    out = []
    for i in range(37):
        base = CRITERIA[i % len(CRITERIA)]
        text = next(texts) if i % 2 else base[2] + ", " + base[2]
        name = text if i % 4 == 1 else base[1] + "_and_a_further_condition_" + base[1]
        out.append((f"{'I' if i < 15 else 'E'}{i // 3 + 1}.{i % 3 + 1}", name, text, base[3] / 2, base[4] / 2))
    return out


@pytest.fixture(scope="session")
def long_attrition(long_criteria):
    return attrition_table(long_criteria, statuses(long_criteria, 1_234_567, easy=0.8))


@pytest.fixture(scope="session")
def long_impact(long_criteria):
    return impact_table(long_criteria, statuses(long_criteria, 1_234_567, easy=0.8))


def texts(ax):
    """Every visible text of the figure with its box in pixels."""
    from matplotlib.text import Text

    figure = ax.get_figure()
    figure.canvas.draw()
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    renderer = figure.canvas.get_renderer()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found]


def assert_readable(ax):
    """No two texts overlap and none leaves the figure."""
    boxes = texts(ax)
    figure = ax.get_figure()
    for text, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, f"cut off: {text!r} {box} outside {figure.bbox}"
    for (a, one), (b, two) in itertools.combinations(boxes, 2):
        wide = min(one.x1, two.x1) - max(one.x0, two.x0)
        high = min(one.y1, two.y1) - max(one.y0, two.y0)
        # Line boxes include leading, so neighbouring lines may touch by a pixel or two.
        assert wide <= 1 or high <= 2.5, f"overlap: {a!r} and {b!r} by {wide:.1f} × {high:.1f} pixels"


def lengths(ax, look):
    """Widths of the bars drawn with one meaning, top to bottom."""
    out = []
    for panel in (ax, *ax.child_axes):
        out += [p.get_width() for c in panel.containers if c.get_label() == look for p in c.patches]
    return out


@pytest.fixture(scope="session")
def readable():
    return assert_readable


@pytest.fixture(scope="session")
def bar_lengths():
    return lengths


@pytest.fixture(scope="session")
def all_texts():
    return lambda ax: [t for t, _ in texts(ax)]
