"""The reference page of the stored arrays is what its builder writes, and what a real sweep stores."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.store.tables import open_store
from phasepipe.variables import STORES

DOCS = Path(__file__).parents[2] / "docs"
ABSENT = {"sensing"}  # not asked for here
REDUCED = ("counts", "recovery", "window", "decision", "course", "curvature")
IN_A_SWEEP = [store for store in STORES if store not in (*REDUCED, "dynamics", "flow_threshold", "precision")]


def builder():
    spec = importlib.util.spec_from_file_location("build_stored_arrays", DOCS / "build_stored_arrays.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_up_to_date():
    committed = (DOCS / "reference/stored-arrays.md").read_text()
    assert committed == builder().page(), "run: python docs/build_stored_arrays.py"


def test_the_page_names_every_declared_array():
    text = builder().page()
    for variables in STORES.values():
        for name, variable in variables.items():
            assert f"| `{name}` | {', '.join(variable.dims) or '-'} | {variable.dtype} |" in text


def stored_and_declared(folder, store):
    """Arrays of a real sweep with their declaration."""
    tree = pp.open_sweep(folder.root)
    nodes = tree[store].children.values() if store in ("instances", "runs", "spectra") else [tree[store]]
    for node in nodes:
        data = node.to_dataset()
        assert set(data.data_vars) - {"status"} <= set(STORES[store])
        for name, declared in STORES[store].items():
            if name not in ABSENT:
                yield data[name], declared


@pytest.mark.parametrize("store", IN_A_SWEEP)
def test_a_sweep_stores_the_dimensions_and_types_of_the_page(finished, store):
    for stored, declared in stored_and_declared(finished[1], store):
        assert set(stored.dims) == set(declared.dims), stored.name
        same = (
            stored.dtype.kind == "U" if declared.dtype == "str" else stored.dtype == np.dtype(declared.dtype)
        )
        assert same, stored.name


@pytest.mark.parametrize("store", IN_A_SWEEP)
def test_a_sweep_stores_the_meanings_and_units_of_the_page(finished, store):
    for stored, declared in stored_and_declared(finished[1], store):
        found = (stored.attrs["long_name"], stored.attrs["units"])
        assert found == (declared.long_name, declared.units), stored.name


@pytest.mark.parametrize("store", REDUCED)
def test_a_reduced_sweep_stores_what_the_page_says(reduced, store):
    data = open_store(reduced[2].archive(store))
    assert set(data.data_vars) <= set(STORES[store])
    for name, array in data.data_vars.items():
        declared = STORES[store][name]
        assert set(array.dims) <= set(declared.dims), name
        assert (array.attrs["long_name"], array.attrs["units"]) == (declared.long_name, declared.units), name
