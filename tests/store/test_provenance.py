"""Whatever decides results is hashed: a store refuses to go on with code that would give other numbers."""

import ast
import shutil
from pathlib import Path

import pytest

import phasepipe
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.runs import layout
from phasepipe.store import provenance
from phasepipe.store.block_store import BlockStore, StoreMismatchError

PACKAGE = Path(phasepipe.__file__).parent
STAGES = ("instances", "runs", "spectra")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A copy of the package's source that the hashes are taken of."""
    copy = tmp_path / "phasepipe"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_PACKAGE", copy)
    provenance._package_hashes.cache_clear()
    yield copy
    provenance._package_hashes.cache_clear()


class OneMore(ast.NodeTransformer):
    """Adds one to the first number, or a letter to the first text, of a module."""

    def __init__(self, kind):
        self.kind, self.changed = kind, False

    def visit_Constant(self, node):
        if self.changed or not isinstance(node.value, self.kind) or isinstance(node.value, bool):
            return node
        self.changed = True
        return ast.Constant(node.value + (1 if self.kind is not str else "x"))


def change_a_constant(file):
    for kind in ((int, float), str):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):  # docstrings decide nothing
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                node.body = body[1:] or [ast.Pass()]
        change = OneMore(kind)
        tree = change.visit(tree)
        if change.changed:
            file.write_text(ast.unparse(ast.fix_missing_locations(tree)))
            return


def deciding_files(stage):
    return sorted(
        path.relative_to(PACKAGE).as_posix()
        for pattern in provenance._DECIDING[stage]
        for path in PACKAGE.glob(pattern)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_constant_changed_in_any_deciding_file_changes_its_hash(elsewhere, make_sweep, stage):
    sweep = make_sweep()
    before = provenance.code_hashes(sweep, stage)
    for name in deciding_files(stage):
        if name.endswith("__init__.py"):
            continue
        change_a_constant(elsewhere / name)
        provenance._package_hashes.cache_clear()
        after = provenance.code_hashes(sweep, stage)
        assert {key for key in before if before[key] != after[key]} == {name}
        before = after


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("simulation/draws.py", "_PREPARATION = 100.0", "_PREPARATION = 200.0"),
        ("simulation/prediction.py", 'runs["bbp_margin"].values)', 'runs["edge"].values)'),
        ("simulation/runs.py", "predictor=LabelPredictor(loss, problems[0].N)", "predictor=None"),
        ("simulation/spectra.py", "GRID = 72", "GRID = 73"),
    ],
)
def test_what_stages_once_decided_alone_is_hashed(elsewhere, make_sweep, name, old, new):
    sweep = make_sweep()
    before = provenance.code_hashes(sweep, "spectra")
    file = elsewhere / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    provenance._package_hashes.cache_clear()
    assert provenance.code_hashes(sweep, "spectra")[name] != before[name]


def test_a_store_refuses_other_code(elsewhere, make_sweep, tmp_path):
    sweep, path = make_sweep(), tmp_path / "runs" / "N12.zarr"
    BlockStore.prepare(path, sweep, layout(sweep, 12))
    change_a_constant(elsewhere / "simulation/draws.py")
    provenance._package_hashes.cache_clear()
    with pytest.raises(
        StoreMismatchError, match=r"different version of the code \(simulation/draws\.py changed"
    ):
        BlockStore.prepare(path, sweep, layout(sweep, 12))


def twice_as_long(sweep):
    return 2 * sweep.times_of_old()


def test_how_settings_reach_the_engine_is_hashed(make_sweep, monkeypatch):
    sweep = make_sweep()
    before = provenance.code_hashes(sweep, "runs")
    monkeypatch.setattr(Sweep, "times_of_old", Sweep.times, raising=False)
    monkeypatch.setattr(Sweep, "times", twice_as_long)
    assert provenance.code_hashes(sweep, "runs") != before


def test_what_an_array_is_called_decides_nothing_but_its_type_does(make_sweep, monkeypatch):
    sweep = make_sweep()
    before = provenance.code_hashes(sweep, "runs")
    mu = provenance.STORES["runs"]["mu"]
    renamed = provenance.STORES["runs"] | {"mu": mu._replace(long_name="multiplier")}
    monkeypatch.setattr(provenance, "STORES", {**provenance.STORES, "runs": renamed})
    assert provenance.code_hashes(sweep, "runs") == before
    rounded = provenance.STORES["runs"] | {"mu": mu._replace(dtype="float16")}
    monkeypatch.setattr(provenance, "STORES", {**provenance.STORES, "runs": rounded})
    assert provenance.code_hashes(sweep, "runs") != before
