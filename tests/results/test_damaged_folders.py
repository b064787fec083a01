"""Every command on every kind of damaged folder: one sentence and exit code 1, never a traceback."""

import json
import shutil
import time

import pytest
import yaml

from phasepipe.store.folder import SweepFolder
from tests.chunks import replace_chunk


@pytest.fixture(scope="module")
def whole(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("whole"))


RUNS = "runs/N12.zarr"


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def without_copies(root):
    for copy in root.glob("runs/*.skeleton*.json"):
        copy.unlink()


def empty_store(root):
    shutil.rmtree(root / RUNS)
    (root / RUNS).mkdir()
    without_copies(root)


def file_for_store(root):
    shutil.rmtree(root / RUNS)
    (root / RUNS).write_text("no store")
    without_copies(root)


def no_group(root):
    (root / RUNS / "zarr.json").unlink()
    without_copies(root)


def metadata(content):
    def damage(root):
        (root / RUNS / "zarr.json").write_text(content)
        without_copies(root)

    return damage


def changed_shape(root):
    file = root / RUNS / "zarr.json"
    file.write_text(file.read_text().replace('"shape"', '"shap"', 1))
    without_copies(root)


def half(root):
    cut(root / RUNS / "zarr.json")
    without_copies(root)


def lost_chunk(root):
    replace_chunk(root / RUNS, "outcome/c/0/0/0", None)


def zeroed_outcome(root):
    source = root / RUNS / "outcome/c/0/0/0"
    assert source.exists()
    import numpy as np
    import zarr

    group = zarr.open_group(str(root / RUNS), mode="r+")
    group["outcome"].with_config({"write_empty_chunks": True})[:1, :2] = np.zeros((1, 2, 2), "uint8")


def empty_chunk(root):
    (root / RUNS / "outcome/c/0/0/0").write_bytes(b"")


DAMAGE = {
    "lost file": lambda root: (root / RUNS / "outcome/c/0/0/0").unlink(),
    "a copy beside": lambda root: shutil.copytree(root / RUNS, root / "runs/N12 (1).zarr"),
    "empty store": empty_store,
    "file for a store": file_for_store,
    "no group metadata": no_group,
    "no JSON": metadata("{]"),
    "a list": metadata("[1, 2]"),
    "null": metadata("null"),
    "nested": metadata("[" * 100_000),
    "half of the metadata": half,
    "one changed key": changed_shape,
    "cut chunk": lambda root: cut(root / RUNS / "outcome/c/0/0/0"),
    "empty chunk": empty_chunk,
    "lost chunk": lost_chunk,
    "done without outcome": zeroed_outcome,
    "cut status": lambda root: cut(root / RUNS / "status/c/0/0/0"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_sentence_in_every_command(phasepipe, whole, configuration, tmp_path, kind):
    results = tmp_path / "results"
    root = results / whole.root.name
    shutil.copytree(whole.root, root)
    DAMAGE[kind](root)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(configuration() | {"results": str(results)}))
    commands = [
        ("status", root),
        ("compare", root, whole.root),
        ("compare", whole.root, root),
        ("export", root, "--to", "csv", "--output", tmp_path / "out"),
        ("reduce", root, "--to", tmp_path / "reduced"),
        ("refine", "--budget", 10, "--config", config),
        ("verify", root, "--report-only"),
    ]
    for command in commands:
        before = time.monotonic()
        code, out, error = phasepipe(*command)  # a traceback would fail here
        assert code == 1, (command, out)
        assert time.monotonic() - before < 60
        if command[0] == "verify" and not error:
            assert "damage was found" in out
            continue
        assert error.startswith("phasepipe: "), command
        assert len(error.splitlines()) == 1, command
        assert root.name in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["status", "verify", "compare", "export", "reduce"])
@pytest.mark.parametrize("name", ["x" * 300, "missing", "file"])
def test_a_name_that_is_no_folder_is_one_sentence(phasepipe, tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    options = {"compare": [name], "export": ["--to", "csv"], "reduce": ["--to", "reduced"]}
    code, _, error = phasepipe(command, name, *options.get(command, []))
    assert code == 1
    assert error.startswith("phasepipe: ")
    assert len(error.splitlines()) == 1


def test_old_metadata_without_a_digest_are_read(whole, tmp_path):
    root = tmp_path / "old"
    shutil.copytree(whole.root, root)
    file = root / RUNS / "zarr.json"
    content = json.loads(file.read_text())
    del content["consolidated_metadata"], content["attributes"]["metadata_digest"]
    file.write_text(json.dumps(content))
    from phasepipe.store.tables import open_store

    assert (
        open_store(SweepFolder(root).store("runs", 12))
        .load()
        .equals(open_store(whole.store("runs", 12)).load())
    )
