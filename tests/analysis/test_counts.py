from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import xarray as xr

from phasepipe.analysis.counts import InstanceSums, cells_by_size, counts_from_xarray, tidy_counts


def test_rows_of_one_instance_add_up():
    counts = tidy_counts(64, 2.0, [1, 2, 3], [4, 4, 4], [0, 0, 1])
    assert counts[["instance", "recovered", "runs"]].to_numpy().tolist() == [[0, 3, 8], [1, 3, 4]]


def test_runs_without_instances_are_independent():
    counts = tidy_counts(64, [2.0, 3.0], [1, 3], 4)
    assert len(counts) == 8
    assert (counts["runs"] == 1).all()
    assert counts.groupby("alpha")["recovered"].sum().tolist() == [1, 3]
    assert not counts.duplicated(["N", "alpha", "instance"]).any()


def test_cells_that_were_not_computed_are_dropped():
    assert tidy_counts(64, [2.0, 3.0], [1, np.nan], [4, 0], 0)["alpha"].tolist() == [2.0]


def test_sums_of_cells_are_those_over_their_instances():
    rng = np.random.default_rng(0)
    runs = rng.integers(1, 9, size=(3, 50))
    k = rng.binomial(runs, 0.4)
    cells = next(cells_by_size(tidy_counts(64, np.arange(3.0)[:, None], k, runs, np.arange(50))))
    expected = InstanceSums.of(k, runs)
    for field in fields(InstanceSums):
        assert getattr(cells.sums, field.name) == pytest.approx(getattr(expected, field.name)), field.name


def test_xarray_and_plain_arrays_give_the_same_table():
    rng = np.random.default_rng(2)
    k = rng.binomial(5, 0.4, size=(2, 3, 4))
    coords = {"N": [64, 128], "alpha": [1.0, 2.0, 3.0]}
    data = xr.Dataset(
        {"recovered": (("N", "alpha", "instance"), k), "runs": ("instance", np.full(4, 5))}, coords=coords
    )
    plain = tidy_counts(np.array([64, 128])[:, None, None], np.arange(1.0, 4)[:, None], k, 5, np.arange(4))
    assert counts_from_xarray(data).equals(plain)
    one = counts_from_xarray(data.sel(N=128))
    assert one.equals(plain[plain["N"] == 128].reset_index(drop=True))


def test_dataset_without_coordinates_is_refused():
    data = xr.Dataset({"recovered": (("alpha", "instance"), [[1]]), "runs": (("alpha", "instance"), [[2]])})
    with pytest.raises(ValueError, match="no coordinate 'N'"):
        counts_from_xarray(data)
