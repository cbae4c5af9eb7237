"""Positions of patients by the bits of their ids: as a dictionary finds them, whatever shares a cell."""

import ibis
import numpy as np
import pyarrow as pa
import pytest

from feasibility.cohort.id_lookup import IdLookup, hashed


@pytest.fixture(scope="module")
def backend():
    return ibis.duckdb.connect()


def bits(backend, ids):
    table = ibis.memtable(pa.table({"i": range(len(ids)), "pid": pa.array(ids, pa.string())}))
    got = backend.to_pyarrow(table.select("i", h=hashed(table["pid"])).order_by("i"))
    return got["h"].to_numpy()


@pytest.mark.parametrize("n", [1, 3, 5000])
@pytest.mark.parametrize("runs", [1, 7])
def test_every_id_is_found_and_strangers_are_not(backend, n, runs):
    rng = np.random.default_rng(n)
    people = np.array([f"patient {i}" for i in range(n)], dtype=object)
    asked = np.repeat(rng.choice([*people, *(f"stranger {i}" for i in range(50))], 400), runs).tolist()
    where = {p: i for i, p in enumerate(people)}
    lookup = IdLookup(backend, people)
    assert lookup.unique
    assert lookup.find(bits(backend, asked)).tolist() == [where.get(a, -1) for a in asked]


def test_nothing_asked_and_nobody_known(backend):
    nobody = IdLookup(backend, np.array([], dtype=object))
    assert nobody.find(bits(backend, ["a"])).tolist() == [-1]
    assert IdLookup(backend, np.array(["a"], dtype=object)).find(np.zeros(0, "uint64")).tolist() == []


def test_two_people_of_the_same_bits_are_noticed(backend):
    assert not IdLookup(backend, np.array(["a", "b", "a"], dtype=object)).unique


def test_of_many_strangers_none_is_taken_for_a_patient(backend):
    lookup = IdLookup(backend, np.array([f"patient {i}" for i in range(3000)], dtype=object))
    strangers = bits(backend, [f"stranger {i}" for i in range(200_000)])
    assert (lookup.find(strangers) == -1).all()
    # Hashes that differ from a patient's in one bit share most of what chooses the cell and what it holds.
    known = bits(backend, [f"patient {i}" for i in range(3000)])
    for bit in range(64):
        assert (lookup.find(known ^ np.uint64(1 << bit)) == -1).all()
    assert (lookup.find(known) == np.arange(3000)).all()
