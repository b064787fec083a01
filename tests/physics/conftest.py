"""Oracles of the Hessian, written from its definition."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def hessian_product():
    """Riemannian Hessian at a point times vectors, ``P [(1/N) X^T diag(T) X - mu] P v``, any loss."""

    def multiply(problem, loss, w, vectors):
        X, y, N = problem.sensing.astype(np.float64), problem.labels, problem.N
        yhat = X @ w / np.sqrt(N)
        mu = yhat @ loss.slope(yhat, y) / N

        def project(rows):
            return rows - np.multiply.outer(rows @ w, w) / N

        inside = project(vectors)
        return project(((inside @ X.T) * loss.curvature(yhat, y)) @ X / N) - mu * inside

    return multiply
