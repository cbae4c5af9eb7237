"""Protocols: changing them, their fingerprint, their coverage of the registered text, scenario files."""

from __future__ import annotations

import pytest

import feasibility as fz
from feasibility.protocol.clauses import split_clauses
from feasibility.protocol.protocol import Protocol

SEED = "NCT06642025"


@pytest.fixture(scope="module")
def seed():
    return fz.load_trial(SEED)


def test_a_change_returns_a_new_protocol(seed):
    changed = seed.with_thresholds(min_platelets=20)
    assert changed["I5.3"].values["min_platelets"] == 20
    assert seed["I5.3"].values["min_platelets"] == 30
    assert changed.thresholds().query("changed").index.tolist() == ["min_platelets"]
    assert changed.with_thresholds(min_platelets=30).fingerprint() == seed.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.with_thresholds(min_platelets=20),
        lambda p: p.with_thresholds(liver_combination="ast_and_alt"),
        lambda p: p.without("E7"),
        lambda p: p.without("consent"),
        lambda p: p.adding(extra),
    ],
)
def test_the_fingerprint_changes_with_what_it_covers(seed, change):
    assert change(seed).fingerprint() != seed.fingerprint()


def test_the_fingerprint_is_stable_and_blind_to_order(seed):
    assert fz.load_trial(SEED).fingerprint() == seed.fingerprint()
    assert seed.reordered("E7", "I5").fingerprint() == seed.fingerprint()


def test_the_fingerprint_sees_the_code_of_helpers_but_not_comments(tmp_path):
    def written(text):
        path = tmp_path / f"t{abs(hash(text))}.py"
        path.write_text(text, encoding="utf-8")
        return fz.load_trial(path).fingerprint()

    base = '''
from feasibility import inclusion
from feasibility.protocol.protocol import Protocol
LIMIT = 3
def helper(x):
    """Words."""
    return x > LIMIT
@inclusion("I1", "x")
def one(x):
    """Reading."""
    return helper(x)
protocol = Protocol("T", "t", [one])
'''
    assert written(base) == written(base.replace("return helper", "# why\n    return helper"))
    assert written(base) == written(base.replace("Words", "Other words"))
    assert written(base) != written(base.replace("x > LIMIT", "x >= LIMIT"))
    assert written(base) != written(base.replace("LIMIT = 3", "LIMIT = 4"))


@fz.inclusion("X1", "a criterion of our own")
def extra(platelets_10e9_l, *, min_platelets_extra: float = 5):
    """Ours."""
    return platelets_10e9_l > min_platelets_extra


def test_waived_criteria_stay_listed(seed):
    table = seed.without("E7", "I5").coverage()
    assert table.loc["E7", "status"] == "waived"
    assert table.loc["I5", "waived"] == "I5.1, I5.2, I5.3"
    with pytest.raises(fz.ProtocolError, match="waived"):
        seed.without("E7")["E7"]
    with pytest.raises(fz.ProtocolError, match="min_washout.*E7.*waived"):
        seed.without("E7").with_thresholds(min_washout=3)


def test_an_added_criterion_is_marked(seed):
    table = seed.adding(extra).coverage()
    assert table.loc["X1", "status"] == "added"


def test_a_measured_antigen_takes_the_place_of_the_assumption(seed):
    from feasibility.trials.nct06642025 import ex02_measured

    changed = seed.adding(ex02_measured)
    assert [c.id for c in changed.criteria].index("I2") == 3
    assert "I2" not in [c.id for c in changed.not_assessable]
    assert len(changed) == len(seed) + 1


def test_reordering_moves_whole_clauses(seed):
    assert [c.id for c in seed.reordered("E7", "I5").assessable][:4] == ["E7", "I5.1", "I5.2", "I5.3"]
    assert len(seed.reordered("E7", "I5", "I5.2")) == len(seed)


def test_every_registered_clause_is_covered(seed):
    table = seed.coverage()
    assert table.index.tolist() == [f"I{i}" for i in range(1, 8)] + [f"E{i}" for i in range(1, 9)]
    assert set(table.status) <= {"assessable", "partly", "not assessable"}
    assert table.query("status == 'not assessable'").index.tolist() == ["I2", "I7", "E8"]


def test_a_misquoted_text_is_refused():
    @fz.inclusion("I1", "Age of 19")
    def one(age_years):
        return age_years >= 18

    text = "Inclusion Criteria:\n1. Age of 18 or more\nExclusion Criteria:\n1. Pregnancy\n"
    with pytest.raises(fz.ProtocolError, match="I1.*not in clause I1"):
        Protocol("T", "t", [one], eligibility_text=text)


def test_an_uncovered_clause_is_refused():
    @fz.inclusion("I1", "Age of 18")
    def one(age_years):
        return age_years >= 18

    text = "Inclusion Criteria:\n1. Age of 18 or more\nExclusion Criteria:\n1. Pregnancy\n"
    with pytest.raises(fz.ProtocolError, match="no criterion covers E1"):
        Protocol("T", "t", [one], eligibility_text=text)


def test_bulleted_registered_texts_are_numbered():
    text = "Inclusion Criteria:\n\n* Age\n  over 18\n* Consent\n\nExclusion Criteria:\n\n* None"
    assert split_clauses(text) == {"I1": "Age over 18", "I2": "Consent", "E1": "None"}


def test_a_name_shared_by_two_criteria_must_mean_the_same():
    @fz.inclusion("I1", "a")
    def one(x, *, min_x: float = 1):
        return x > min_x

    @fz.inclusion("I2", "b")
    def two(y, *, min_x: float = 2):
        return y > min_x

    with pytest.raises(fz.ProtocolError, match="'min_x' is declared differently by I1 and I2"):
        Protocol("T", "t", [one, two])


def test_a_shared_reading_changes_everywhere(seed):
    changed = seed.with_thresholds(transfusion_rule="transfusion_free")
    assert (
        changed["I5.1"].values["transfusion_rule"] == changed["I5.3"].values["transfusion_rule"] == "transfusion_free"
    )


def test_only_the_columns_in_force_are_read(seed):
    assert "lvef_latest_pct" not in seed.reads
    assert "lvef_latest_pct" in seed.with_thresholds(lvef_statistic="latest").reads
    assert "em_active" not in seed.with_thresholds(extramedullary="off").reads
    assert "disease_status" not in seed.with_thresholds(require_active=False).reads


def test_scenario_file(tmp_path, seed):
    path = tmp_path / "s.toml"
    path.write_text(
        'name = "Wider"\ntrial = "NCT06642025"\nwaive = ["E7"]\n[thresholds]\nmin_platelets = 20\n'
        '[readings]\nliver_combination = "ast_and_alt"\n',
        encoding="utf-8",
    )
    scenario = fz.Scenario.from_toml(path)
    changed = scenario.apply(seed)
    assert scenario.name == "Wider"
    assert changed.thresholds().query("changed").value.to_dict() == {
        "min_platelets": 20,
        "liver_combination": "ast_and_alt",
    }
    assert changed.waived == ("E7",)


def test_beta_interval():
    assert fz.Beta(8, 2).mean == 0.8
    low, high = fz.Beta(8, 2).interval(0.9)
    assert (round(low, 2), round(high, 2)) == (0.57, 0.96)  # clinical specification, I2


def test_assumed_rates_change_by_name_in_a_scenario_file(tmp_path):
    protocol = fz.load_trial("NCT06642025")
    scenario = fz.Scenario("Fewer consent", rates={"consent": [5, 5], "contraception": (9, 1)})
    path = tmp_path / "s.toml"
    path.write_text(scenario.to_toml(), encoding="utf-8")
    changed = fz.Scenario.from_toml(path).apply(protocol)
    rates = {c.name: (c.rate.a, c.rate.b) for c in changed.not_assessable}
    assert rates["consent"] == (5, 5)
    twins = [c for c in protocol.not_assessable if c.same_as == "contraception"]
    assert twins
    assert all(rates[c.name] == (9, 1) for c in twins)
    assert changed.fingerprint() != protocol.fingerprint()


def test_a_rate_that_is_not_there_or_not_one():
    protocol = fz.load_trial("NCT06642025")
    with pytest.raises(fz.ProtocolError, match="assumes no rate called 'consnt'.*'consent'"):
        protocol.with_rates(consnt=(8, 2))
    with pytest.raises(fz.ProtocolError, match="a Beta or a pair"):
        protocol.with_rates(consent=0.8)
    with pytest.raises(fz.ProtocolError, match="both parameters must be above 0"):
        protocol.with_rates(consent=(0, 2))
    with pytest.raises(fz.ProtocolError, match="states the same fact as 'contraception'"):
        protocol.with_rates(unwilling_contraception=(8, 2))
