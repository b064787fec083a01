"""Exports: every number comes back with its bits, and the descriptor says what is there."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from phasepipe.pipeline.folders import SweepFolder
from phasepipe.query.export import ExportError, Format, export_sweep


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("export")
    return {to: export_sweep(folder, to, place / to.value) for to in Format}


def test_netcdf_gives_back_every_bit(tree, exported):
    again = xr.open_datatree(exported[Format.NETCDF] / "small.nc", engine="h5netcdf")
    for node in tree.leaves:
        for name, variable in node.to_dataset().variables.items():
            back = again[node.path].to_dataset().variables[name]
            assert back.dims == variable.dims
            np.testing.assert_array_equal(back.values, variable.values, err_msg=f"{node.path}/{name}")
            assert back.dtype == variable.dtype or variable.dtype.kind == "U"
            assert back.attrs["long_name"] == variable.attrs["long_name"]


def test_csv_gives_back_every_bit(tree, exported):
    runs = tree["runs/N16"].to_dataset().load()
    for name, dims in (("recovery_time", "start"), ("overlap", "start-time"), ("edge", "start-time")):
        table = pd.read_csv(
            exported[Format.CSV] / f"runs-N16-alpha-instance-{dims}.csv", float_precision="round_trip"
        )
        back = table[name].to_numpy(runs[name].dtype)
        np.testing.assert_array_equal(back, runs[name].values.ravel())


def test_the_archive_is_one_zarr_of_the_stored_chunks(tree, exported):
    store = zarr.storage.ZipStore(exported[Format.ZARR_ZIP] / "small.zarr.zip", mode="r")
    group = zarr.open_group(store, mode="r")
    order = np.argsort(group["runs/N16/alpha"][:])
    for name in ("outcome", "overlap", "t_bbp"):
        np.testing.assert_array_equal(group[f"runs/N16/{name}"][:][order], tree["runs/N16"][name])


@pytest.mark.parametrize("to", list(Format))
def test_the_descriptor_proves_the_files(exported, to):
    package = json.loads((exported[to] / "datapackage.json").read_text())
    assert package["resources"]
    for resource in package["resources"]:
        content = (exported[to] / resource["path"]).read_bytes()
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert resource["bytes"] == len(content)
    assert package["groups"]["/runs/N16"]["outcome"]["flag_meanings"].startswith("pending recovered")
    readme = (exported[to] / "README.md").read_text()
    assert "Complete: every run" in readme
    assert "1 recovered, 2 trapped" in readme


def test_an_export_overwrites_nothing(folder, exported):
    with pytest.raises(ExportError, match="exists; name another folder"):
        export_sweep(folder, Format.CSV, exported[Format.CSV])


def test_a_hole_is_declared(folder, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(folder.root, copy)
    status = zarr.open_group(str(copy / "runs/N16.zarr"), mode="r+")["status"]
    status[0, 1] = 0
    target = export_sweep(SweepFolder(copy), Format.NETCDF, tmp_path / "out")
    package = json.loads((target / "datapackage.json").read_text())
    assert package["description"].startswith("INCOMPLETE: 2 runs are pending")
    assert sum(package["pending"].values()) == 2
