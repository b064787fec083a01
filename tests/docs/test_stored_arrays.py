"""The reference page of the stored arrays is what its builder writes, and what a real sweep stores."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.variables import STORES

DOCS = Path(__file__).parents[2] / "docs"
ABSENT = {"sensing", "bin_low", "bin_high", "runs"}  # not asked for here, or, as the page says, not kept


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


@pytest.mark.parametrize("store", STORES)
def test_a_sweep_stores_the_dimensions_and_types_of_the_page(finished, store):
    for stored, declared in stored_and_declared(finished[1], store):
        assert set(stored.dims) == set(declared.dims), stored.name
        assert stored.dtype == np.dtype(declared.dtype), stored.name


MISLABELLED = pytest.mark.xfail(
    reason="k of success.zarr keeps the attributes of recovery_time, from which it is computed", strict=False
)


@pytest.mark.parametrize(
    "store", [pytest.param(store, marks=MISLABELLED if store == "success" else ()) for store in STORES]
)
def test_a_sweep_stores_the_meanings_and_units_of_the_page(finished, store):
    for stored, declared in stored_and_declared(finished[1], store):
        found = (stored.attrs["long_name"], stored.attrs["units"])
        assert found == (declared.long_name, declared.units), stored.name
