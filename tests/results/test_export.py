"""Exports: every number comes back with its bits, and the descriptor says what is there."""

import hashlib
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from phasepipe.results.descriptor import PLACEHOLDER
from phasepipe.results.export import ExportError, Format, export_sweep
from phasepipe.store.folder import SweepFolder

NAME = {"type": "string", "pattern": r"^[a-z0-9._-]+$"}
FIELD = {
    "type": "object",
    "required": ["name", "type"],
    "properties": {"type": {"enum": ["number", "integer", "boolean", "string"]}},
}
# the rules of https://datapackage.org/standard/data-package that an export can break
DATA_PACKAGE = {
    "type": "object",
    "required": ["$schema", "resources", "name", "title", "licenses", "created"],
    "properties": {
        "name": NAME,
        "created": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$"},
        "contributors": {"type": "array", "minItems": 1, "items": {"required": ["title"]}},
        "licenses": {"type": "array", "minItems": 1, "items": {"required": ["name"]}},
        "keywords": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "resources": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "path", "mediatype", "bytes", "hash"],
                "properties": {
                    "name": NAME,
                    "path": {"type": "string", "pattern": r"^(?!/|~)((?!\.\./).)+$"},
                    "mediatype": {"type": "string", "pattern": r"^[a-z]+/[a-z.+-]+$"},
                    "bytes": {"type": "integer", "minimum": 1},
                    "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
                    "schema": {
                        "type": "object",
                        "required": ["fields"],
                        "properties": {"fields": {"type": "array", "minItems": 1, "items": FIELD}},
                    },
                },
                "dependentRequired": {"type": ["schema"]},
            },
        },
    },
}
# https://developers.zenodo.org, deposit metadata
ZENODO = {
    "type": "object",
    "required": ["title", "upload_type", "description", "creators", "license", "keywords", "access_right"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "minLength": 3},
        "upload_type": {"const": "dataset"},
        "description": {"type": "string", "minLength": 3},
        "creators": {"type": "array", "minItems": 1, "items": {"required": ["name"]}},
        "access_right": {"const": "open"},
        "license": {"type": "string", "pattern": r"^[a-z0-9.-]+$"},
        "keywords": {"type": "array", "items": {"type": "string"}},
    },
}


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("export")
    return {to: export_sweep(folder, to, place / to.value) for to in Format}


def package_of(folder):
    return json.loads((folder / "datapackage.json").read_text())


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
    runs = tree["runs/N16"].to_dataset().compute()
    for name, dims in (("recovery_time", "start"), ("overlap", "start-time"), ("edge", "start-time")):
        table = pd.read_csv(exported[Format.CSV] / f"runs-N16-alpha-instance-{dims}.csv")
        back = table[name].to_numpy(runs[name].dtype)
        np.testing.assert_array_equal(back, runs[name].values.ravel())


def test_every_column_of_a_table_is_described(exported):
    tables = package_of(exported[Format.CSV])["resources"]
    assert {"runs-n16-alpha-instance-start.csv", "success-n-alpha-start_group-budget.csv"} <= {
        table["name"] for table in tables
    }
    for table in tables:
        frame = pd.read_csv(exported[Format.CSV] / table["path"])
        fields = table["schema"]["fields"]
        assert [field["name"] for field in fields] == list(frame.columns)
        for field in fields:
            if field["type"] == "integer":
                assert frame[field["name"]].dtype.kind in "iu", field
            assert field["type"] == "string" or frame[field["name"]].dtype.kind in "fiub", field


def test_the_archive_is_one_zarr_of_the_stored_chunks(tree, exported):
    store = zarr.storage.ZipStore(exported[Format.ZARR_ZIP] / "small.zarr.zip", mode="r")
    again = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert {node.path for node in again.leaves} == {node.path for node in tree.leaves}
    for node in tree.leaves:
        back = again[node.path].to_dataset().sortby("alpha")
        for name, variable in node.data_vars.items():
            np.testing.assert_array_equal(back[name], variable, err_msg=f"{node.path}/{name}")


@pytest.mark.parametrize("to", list(Format))
def test_the_descriptor_proves_the_files(exported, to):
    package = package_of(exported[to])
    jsonschema.validate(package, DATA_PACKAGE)
    names = [resource["name"] for resource in package["resources"]]
    assert len(set(names)) == len(names)
    described = {resource["path"] for resource in package["resources"]}
    others = {"datapackage.json", ".zenodo.json", "README.md"}
    assert {file.name for file in exported[to].iterdir()} == described | others
    for resource in package["resources"]:
        content = (exported[to] / resource["path"]).read_bytes()
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert resource["bytes"] == len(content)
    assert package["groups"]["/runs/N16"]["outcome"]["flag_meanings"].startswith("pending recovered")
    readme = (exported[to] / "README.md").read_text()
    assert "Complete: all runs that the sweep requests are included" in readme
    assert "1 recovered, 2 trapped" in readme
    assert PLACEHOLDER in readme


def test_creators_are_named_or_asked_for(folder, exported, tmp_path):
    asked = json.loads((exported[Format.CSV] / ".zenodo.json").read_text())
    jsonschema.validate(asked, ZENODO)
    assert asked["creators"] == [{"name": PLACEHOLDER}]
    target = export_sweep(folder, Format.ZARR_ZIP, tmp_path / "named", "CC0-1.0", ["Noether, Emmy"])
    named = json.loads((target / ".zenodo.json").read_text())
    jsonschema.validate(named, ZENODO)
    jsonschema.validate(package_of(target), DATA_PACKAGE)
    assert named["creators"] == [{"name": "Noether, Emmy"}]
    assert named["license"] == "cc0-1.0"
    assert package_of(target)["contributors"][0]["title"] == "Noether, Emmy"
    assert PLACEHOLDER not in (target / "README.md").read_text()


def test_an_export_overwrites_nothing(folder, exported):
    before = sorted(exported[Format.CSV].iterdir())
    with pytest.raises(ExportError, match="exists; choose another folder"):
        export_sweep(folder, Format.CSV, exported[Format.CSV])
    assert sorted(exported[Format.CSV].iterdir()) == before


@pytest.mark.parametrize(
    ("place", "reason"),
    [("x" * 300, "File name too long"), ("file/new", "file is not a writable folder"), ("link", "exists")],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(folder, tmp_path, place, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ExportError, match=reason) as refused:
        export_sweep(folder, Format.CSV, tmp_path / place)
    assert "choose another folder with --output" in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs the folder /proc of Linux")
def test_a_place_that_the_system_refuses_is_one_sentence(folder):
    with pytest.raises(ExportError, match=r"/proc/none cannot be written \(No such file or directory\)"):
        export_sweep(folder, Format.CSV, Path("/proc/none"))


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ExportError, match="holds no sweep"):
        export_sweep(SweepFolder(tmp_path / "nowhere"), Format.CSV, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_is_pending_is_declared(folder, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(folder.root, copy)
    status = zarr.open_group(str(copy / "runs/N16.zarr"), mode="r+")["status"]
    status[0, 1] = 0
    shutil.rmtree(copy / "runs/N12.zarr")
    target = export_sweep(SweepFolder(copy), Format.ZARR_ZIP, tmp_path / "out")
    package = package_of(target)
    assert package["description"].startswith("INCOMPLETE: 26 runs in 4 cells")
    unbegun = {f"N = 12, alpha = {alpha}": 8 for alpha in (2, 3, 4)}
    assert package["pending"] == unbegun | {"N = 16, alpha = 4": 2}
    readme = (target / "README.md").read_text()
    assert "| N = 16, alpha = 4 | 2 |" in readme
    assert "INCOMPLETE" in json.loads((target / ".zenodo.json").read_text())["description"]
