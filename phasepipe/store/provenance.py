"""Provenance of a store: hashes of the code that determines results, and package versions."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from inspect import getsource
from pathlib import Path
from textwrap import dedent
from typing import Any

from phasepipe.specification.loss import CustomLossSpec, LossSpec
from phasepipe.specification.sweep import Sweep
from phasepipe.variables import STORES

PACKAGES = ("phasepipe", "numpy", "scipy", "numba", "xarray", "zarr", "dask", "distributed", "snakemake")


def _structure(node: ast.AST) -> str:
    """Syntax tree as text, without docstrings and empty fields, so that all Python versions agree on it."""
    body = getattr(node, "body", None)
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(body, list):
        first = body[0] if body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = body[1:]
    parts = []
    for name, value in ast.iter_fields(node):
        items = value if isinstance(value, list) else [value]
        shown = [_structure(item) if isinstance(item, ast.AST) else repr(item) for item in items]
        if shown and shown != ["None"]:
            parts.append(f"{name}={','.join(shown)}")
    return f"{type(node).__name__}({';'.join(parts)})"


def source_hash(source: str) -> str:
    """Hash of Python source that does not depend on comments, layout and docstrings."""
    return hashlib.sha256(_structure(ast.parse(source)).encode()).hexdigest()[:16]


_PACKAGE = Path(__file__).parents[1]
_RUNS = (
    "physics/*.py",
    "theory/resolvent.py",
    "simulation/draws.py",
    "simulation/prediction.py",
    "simulation/runs.py",
)
# source files that determine the results of a stage, relative to the package
_DECIDING = {
    "instances": ("physics/ensembles.py", "physics/problem.py", "physics/streams.py", "simulation/draws.py"),
    "runs": _RUNS,
    "spectra": (*_RUNS, "theory/density.py", "simulation/spectra.py"),
}


@cache
def _package_hashes(stage: str) -> dict[str, str]:
    files = [path for pattern in _DECIDING[stage] for path in sorted(_PACKAGE.glob(pattern))]
    return {path.relative_to(_PACKAGE).as_posix(): source_hash(path.read_text()) for path in files}


def _specification_hashes(sweep: Sweep) -> dict[str, str]:
    """Hashes of the methods of the specification that turn settings into arguments of the simulation."""
    methods: list[Callable[..., object]] = [Sweep.times, Sweep.snapshot_indices, Sweep.protocol]
    methods += [type(part).build for part in (sweep.loss, sweep.sensing) if part.kind != "custom"]
    return {
        f"specification, {method.__qualname__}": source_hash(dedent(getsource(method))) for method in methods
    }


def theory_hash() -> str:
    """Hash of all theory code; stored results for N to infinity are recomputed when it changes."""
    files = sorted((_PACKAGE / "theory").glob("*.py"))
    files += [_PACKAGE / "physics" / name for name in ("losses.py", "spectral_weight.py")]
    return hashlib.sha256("".join(source_hash(file.read_text()) for file in files).encode()).hexdigest()[:16]


def loss_identity(spec: LossSpec) -> dict[str, Any]:
    """The settings that determine a loss function, and the hash of the code of a custom loss."""
    settings = spec.model_dump(mode="json", exclude={"directory"})
    return settings | ({"code": _loss_hash(spec)} if isinstance(spec, CustomLossSpec) else {})


def _declared_types(stage: str) -> str:
    """Hash of the dimensions and data types of the arrays of a stage; long names do not affect results."""
    declared = {name: (variable.dims, variable.dtype) for name, variable in STORES[stage].items()}
    return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:16]


def code_hashes(sweep: Sweep, stage: str) -> dict[str, str]:
    """Hash of all code that determines the results of a stage, including a custom loss if it is trusted."""
    hashes = _package_hashes(stage) | _specification_hashes(sweep) | {"variables.py": _declared_types(stage)}
    if stage != "instances" and isinstance(sweep.loss, CustomLossSpec) and sweep.loss.is_trusted:
        hashes[sweep.loss.path] = _loss_hash(sweep.loss)
    return hashes


def _loss_hash(spec: CustomLossSpec) -> str:
    """Hash of the files that define a custom loss: the module of its path, and that of its class."""
    loss = spec.build()
    modules = {spec.path.rpartition(".")[0], type(loss).__module__}
    files = {getattr(sys.modules.get(name), "__file__", None) for name in modules}
    hashes = sorted(source_hash(Path(file).read_text()) for file in files if file and file.endswith(".py"))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def identity_hash(sweep: Sweep) -> str:
    """Hash of the settings that determine the results of a sweep."""
    return hashlib.sha256(json.dumps(sweep.identity(), sort_keys=True).encode()).hexdigest()[:16]


def provenance(sweep: Sweep) -> dict[str, Any]:
    """Root attributes of every store."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "sweep": sweep.name,
        "specification": sweep.identity(),
        "specification_hash": identity_hash(sweep),
        "package_versions": versions,
        "python_version": platform.python_version(),
        "code_version": versions["phasepipe"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def differences(stored: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Differences between two nested mappings, as sentences with the key and both values."""
    found = []
    for key in sorted(stored.keys() | wanted.keys()):
        old, new = stored.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} is {old!r} in the store and {new!r} now")
    return found
