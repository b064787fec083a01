"""What produced a store: hashes of the code that decides results, versions of the packages."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import platform
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from phasepipe.specification.loss import CustomLossSpec
from phasepipe.specification.sweep import Sweep

PACKAGES = ("phasepipe", "numpy", "scipy", "xarray", "zarr", "dask", "distributed", "snakemake")


def _structure(node: ast.AST) -> str:
    """Syntax tree as text, less docstrings and whatever is empty, so that all Pythons agree on it."""
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
    """Hash of Python source that comments, layout and docstrings do not change."""
    return hashlib.sha256(_structure(ast.parse(source)).encode()).hexdigest()[:16]


# source files that decide what a stage stores, relative to the package
_DECIDING = {
    "instances": ("physics/ensembles.py", "physics/problem.py", "physics/streams.py"),
    "runs": ("physics/*.py", "theory/resolvent.py"),
    "spectra": ("physics/*.py", "theory/resolvent.py", "theory/density.py"),
}


@cache
def _package_hashes(stage: str) -> dict[str, str]:
    folder = Path(__file__).parent.parent
    files = [path for pattern in _DECIDING[stage] for path in sorted(folder.glob(pattern))]
    return {path.relative_to(folder).as_posix(): source_hash(path.read_text()) for path in files}


def code_hashes(sweep: Sweep, stage: str) -> dict[str, str]:
    """Hash of every source file that decides what a stage stores, the user's loss included."""
    hashes = dict(_package_hashes(stage))
    if stage != "instances" and isinstance(sweep.loss, CustomLossSpec):
        hashes[sweep.loss.path] = _loss_hash(sweep.loss)
    return hashes


def _loss_hash(spec: CustomLossSpec) -> str:
    """Hash of the files that define the user's loss: the module of its path, and that of its class."""
    loss = spec.build()
    modules = {spec.path.rpartition(".")[0], type(loss).__module__}
    files = {getattr(sys.modules.get(name), "__file__", None) for name in modules}
    hashes = sorted(source_hash(Path(file).read_text()) for file in files if file and file.endswith(".py"))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def identity_hash(sweep: Sweep) -> str:
    """Hash of the settings that decide the results of a sweep."""
    return hashlib.sha256(json.dumps(sweep.identity(), sort_keys=True).encode()).hexdigest()[:16]


def provenance(sweep: Sweep) -> dict[str, Any]:
    """Attributes that every store carries at its root."""
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
    """What differs between two nested mappings, as ``key: stored value, wanted value``."""
    found = []
    for key in sorted(stored.keys() | wanted.keys()):
        old, new = stored.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} is {old!r} in the store and {new!r} now")
    return found
