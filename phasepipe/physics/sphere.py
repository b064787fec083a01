"""Geometry of the sphere ``|w|² = N``; the rows of an array are points ``w``.

See docs/explanation/physics.md §1 and §3.
"""

from __future__ import annotations

import numpy as np

from phasepipe.physics.losses import Array


def row_products(left: Array, right: Array) -> Array:
    """Scalar product of each row of ``left`` with the same row of ``right``; shape (rows,)."""
    products: Array = np.einsum("ij,ij->i", left, right)
    return products


def to_sphere(points: Array) -> Array:
    """Rescale every row of ``points``, shape (count, N), to ``|w|² = N``."""
    norms = np.sqrt(row_products(points, points))
    scaled: Array = points * (np.sqrt(points.shape[-1]).astype(points.dtype) / norms)[:, None]
    return scaled


def tangent(points: Array, vectors: Array) -> Array:
    """Component of each row of ``vectors`` orthogonal to the same row of ``points``."""
    shares = row_products(points, vectors) / row_products(points, points)
    projected: Array = vectors - shares[:, None] * points
    return projected
