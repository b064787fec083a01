"""How to cite a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LITERATURE = {
    "Hessian and recovery in phase retrieval by gradient descent": (
        "Bonnaire, Biroli, Cammarota",
        "arXiv:2403.02418",
    ),
    "gradient descent for phase retrieval at finite N": ("Sarao Mannelli et al.", "arXiv:2006.06997"),
    "threshold states": ("Annesi, Bocchi, Cammarota", "arXiv:2510.18435"),
    "the integrator": ("Sommeijer, Shampine, Verwer", "J. Comput. Appl. Math. 88 (1998) 315"),
}


def citation(name: str, attributes: Mapping[str, Any]) -> str:
    """Citation of the sweep ``name`` and of the literature, from the root attributes of a store."""
    versions = attributes["package_versions"]
    lines = [
        f"Sweep {name!r} of gradient descent for Gaussian phase retrieval, "
        f"computed with phasepipe {attributes['code_version']}.",
        f"Hash of the settings: {attributes['specification_hash']}; started {attributes['created']}; "
        f"NumPy {versions['numpy']}, SciPy {versions['scipy']}, Python {attributes['python_version']}.",
        "Please also cite:",
    ]
    lines += [f"  {authors}, {where} ({what})" for what, (authors, where) in LITERATURE.items()]
    return "\n".join(lines)
