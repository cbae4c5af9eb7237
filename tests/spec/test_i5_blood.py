"""I5: haemoglobin, T cells and platelets, each strictly above its limit, of the last 14 days."""

import pytest

from .patients import NEVER, met, table

HEMOGLOBIN = {
    "60 is not above 60": ({"hemoglobin_g_l": 60.0}, False),
    "60.0001 is": ({"hemoglobin_g_l": 60.0001}, True),
    "59.9": ({"hemoglobin_g_l": 59.9}, False),
    "unknown": ({"hemoglobin_g_l": None, "days_since_hemoglobin_g_l": None}, None),
    "14 days old": ({"days_since_hemoglobin_g_l": 14.0}, True),
    "15 days old": ({"days_since_hemoglobin_g_l": 15.0}, None),
    "low, but 15 days old": ({"hemoglobin_g_l": 50.0, "days_since_hemoglobin_g_l": 15.0}, None),
    "age of the value unknown": ({"days_since_hemoglobin_g_l": None}, None),
    "28 days accepted": ({"days_since_hemoglobin_g_l": 28.0}, True, {"max_days_since_hemoglobin": 28}),
    "55 to 60": ({"hemoglobin_g_l": (55.0, 60.0)}, False),
    "60 to 65": ({"hemoglobin_g_l": (60.0, 65.0)}, None),
    "61 to 65": ({"hemoglobin_g_l": (61.0, 65.0)}, True),
    "below 60 by an open limit": ({"hemoglobin_g_l": (None, 60.0)}, False),
    "80 by another threshold": ({"hemoglobin_g_l": 80.0}, False, {"min_hemoglobin": 80}),
    "transfused yesterday: not asked": ({"days_since_rbc_transfusion": 1.0}, True),
    "transfused yesterday: asked": (
        {"days_since_rbc_transfusion": 1.0}, False, {"transfusion_rule": "transfusion_free"}),
    "transfused 7 days ago": ({"days_since_rbc_transfusion": 7.0}, True, {"transfusion_rule": "transfusion_free"}),
    "transfused 6 days ago": ({"days_since_rbc_transfusion": 6.0}, False, {"transfusion_rule": "transfusion_free"}),
    "never transfused": ({"days_since_rbc_transfusion": NEVER}, True, {"transfusion_rule": "transfusion_free"}),
    "transfusions unknown": ({"days_since_rbc_transfusion": None}, None, {"transfusion_rule": "transfusion_free"}),
    "transfusions unknown, but too low anyway": (
        {"hemoglobin_g_l": 50.0, "days_since_rbc_transfusion": None}, False,
        {"transfusion_rule": "transfusion_free"}),
    "three days are enough by another threshold": (
        {"days_since_rbc_transfusion": 3.0}, True,
        {"transfusion_rule": "transfusion_free", "min_transfusion_free_days": 3}),
}  # fmt: skip

T_CELLS = {
    "0.5 is not above 0.5": ({"cd3_10e9_l": 0.5}, False),
    "0.501 is": ({"cd3_10e9_l": 0.501}, True),
    "0.499": ({"cd3_10e9_l": 0.499}, False),
    "unknown": ({"cd3_10e9_l": None, "days_since_cd3_10e9_l": None}, None),
    "at most 0.48 lymphocytes": ({"cd3_10e9_l": (0.0, 0.48)}, False),
    "at most 0.5 lymphocytes": ({"cd3_10e9_l": (0.0, 0.5)}, False),
    "at most 1.2 lymphocytes": ({"cd3_10e9_l": (0.0, 1.2)}, None),
    "14 days old": ({"days_since_cd3_10e9_l": 14.0}, True),
    "15 days old": ({"days_since_cd3_10e9_l": 15.0}, None),
    "low, but 15 days old": ({"cd3_10e9_l": 0.1, "days_since_cd3_10e9_l": 15.0}, None),
    "28 days accepted": ({"days_since_cd3_10e9_l": 28.0}, True, {"max_days_since_cd3": 28}),
    "0.3 by another threshold": ({"cd3_10e9_l": 0.3}, True, {"min_cd3": 0.2}),
    "at most 0.48 lymphocytes against a threshold of 0.2": ({"cd3_10e9_l": (0.0, 0.48)}, None, {"min_cd3": 0.2}),
}

PLATELETS = {
    "30 is not above 30": ({"platelets_10e9_l": 30.0}, False),
    "30.1 is": ({"platelets_10e9_l": 30.1}, True),
    "unknown": ({"platelets_10e9_l": None, "days_since_platelets_10e9_l": None}, None),
    "below 10": ({"platelets_10e9_l": (0.0, 10.0)}, False),
    "below 50": ({"platelets_10e9_l": (0.0, 50.0)}, None),
    "14 days old": ({"days_since_platelets_10e9_l": 14.0}, True),
    "15 days old": ({"days_since_platelets_10e9_l": 15.0}, None),
    "low, but 15 days old": ({"platelets_10e9_l": 5.0, "days_since_platelets_10e9_l": 15.0}, None),
    "20 by another threshold": ({"platelets_10e9_l": 21.0}, True, {"min_platelets": 20}),
    "28 days accepted": ({"days_since_platelets_10e9_l": 28.0}, True, {"max_days_since_platelets": 28}),
    "transfused yesterday: not asked": ({"days_since_platelet_transfusion": 1.0}, True),
    "transfused yesterday: asked": (
        {"days_since_platelet_transfusion": 1.0}, False, {"transfusion_rule": "transfusion_free"}),
    "transfused 7 days ago": (
        {"days_since_platelet_transfusion": 7.0}, True, {"transfusion_rule": "transfusion_free"}),
    "transfusions unknown": (
        {"days_since_platelet_transfusion": None}, None, {"transfusion_rule": "transfusion_free"}),
    "a red-cell transfusion does not matter": (
        {"days_since_rbc_transfusion": 1.0}, True, {"transfusion_rule": "transfusion_free"}),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "expected", "settings"), table(HEMOGLOBIN))
def test_hemoglobin(cells, expected, settings):
    assert met("I5.1", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(T_CELLS))
def test_t_lymphocytes(cells, expected, settings):
    assert met("I5.2", cells, **settings) is expected


@pytest.mark.parametrize(("cells", "expected", "settings"), table(PLATELETS))
def test_platelets(cells, expected, settings):
    assert met("I5.3", cells, **settings) is expected
