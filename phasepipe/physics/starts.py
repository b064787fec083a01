"""Starting points of the runs on the sphere (docs/explanation/physics.md §9).

Every start has its own random stream, keyed by (seed, N, M, instance, kind, number), so that starts
16 to 31 are the same whether or not starts 0 to 15 were requested.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from phasepipe.errors import shown
from phasepipe.physics.arguments import require_integer, require_number
from phasepipe.physics.batch import run_batch
from phasepipe.physics.ensembles import GAUSSIAN
from phasepipe.physics.hessian import TangentBasis, lowest_eigenpairs
from phasepipe.physics.loss_check import check_loss
from phasepipe.physics.losses import Loss
from phasepipe.physics.problem import Problem, require_problem
from phasepipe.physics.protocol import Flow, RunProtocol
from phasepipe.physics.spectral_weight import SPECTRAL_REGULARISATION, optimal_weight
from phasepipe.physics.sphere import tangent, to_sphere
from phasepipe.physics.start_kinds import StartKind
from phasepipe.physics.streams import Stream, generator
from phasepipe.physics.threads import one_blas_thread

_NEVER = 1e-300  # gradient tolerance that no run reaches


def _gaussians(problem: Problem, kind: StartKind, count: int, seed: int, first: int) -> NDArray[np.float64]:
    require_problem(problem)
    require_integer("count", count, least=1, example=16, most=100_000)
    require_integer("seed", seed, least=0, example=0)
    require_integer("first", first, least=0, example=0)
    key = (problem.N, problem.M, problem.instance, int(kind))
    return np.stack(
        [
            generator(Stream.START, seed, *key, number).standard_normal(problem.N)
            for number in range(first, first + count)
        ]
    )


def random(problem: Problem, count: int, seed: int, first: int = 0) -> NDArray[np.float64]:
    """Starts uniform on the sphere ``|w|² = N``.

    Parameters
    ----------
    problem
        Instance the starts are for.
    count, first
        Starts number ``first`` to ``first + count - 1`` are drawn.
    seed
        Root seed.

    Returns
    -------
    array, shape (count, N), float64
    """
    return np.asarray(to_sphere(_gaussians(problem, StartKind.RANDOM, count, seed, first)))


def warm(problem: Problem, count: int, seed: int, *, m0: float, first: int = 0) -> NDArray[np.float64]:
    """Starts with overlap exactly ``m0`` with the signal, otherwise uniform.

    Starts with the same number have the same direction for all ``m0``, so that comparisons between overlaps
    are not affected by the randomness of the direction.

    Raises
    ------
    ValueError
        If ``m0`` lies outside [0, 1).
    """
    if not 0 <= (overlap := require_number("m0", m0, example=0.2)) < 1:
        raise ValueError(f"m0 = {shown(m0)} lies outside [0, 1); take for example m0 = 0.2")
    directions = _gaussians(problem, StartKind.WARM, count, seed, first)
    signal = np.broadcast_to(problem.signal, directions.shape)
    across = to_sphere(tangent(signal, directions))
    return np.asarray(to_sphere(overlap * signal + np.sqrt(1 - overlap**2) * across))


@one_blas_thread()
def spectral(problem: Problem) -> NDArray[np.float64]:
    """The spectral start: top eigenvector of ``sum_i f(y_i) x_i x_i^T`` with the optimal weight.

    See docs/explanation/physics.md §9.

    An instance has one spectral start: its negative is equivalent for a loss that is even in ``yhat``. It is
    computed by Lanczos iterations of cost O(M N), without an N x N matrix.
    :func:`phasepipe.theory.spectral.spectral_start` predicts its overlap.

    Returns
    -------
    array, shape (1, N), float64
        The component of largest magnitude is positive, so that results repeat.
    """
    sensing = require_problem(problem).sensing.astype(np.float64)
    weight = optimal_weight(problem.labels, SPECTRAL_REGULARISATION)

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        weighted: NDArray[np.float64] = ((sensing @ vector.ravel()) * weight) @ sensing / problem.N
        return weighted

    operator = LinearOperator((problem.N, problem.N), matvec=product, dtype=np.float64)
    first = _gaussians(problem, StartKind.SPECTRAL, 1, problem.seed, 0)[0]  # ARPACK's own is not reproducible
    krylov = min(problem.N, 40)
    vector = eigsh(operator, k=1, which="LA", v0=first, ncv=krylov, tol=1e-8)[1].T
    return np.asarray(to_sphere(_signed(vector)))


@one_blas_thread()
def curvature(problem: Problem, loss: Loss, count: int, seed: int, first: int = 0) -> NDArray[np.float64]:
    """Lowest eigenvector of the Hessian at a random point: a coarse informed start without parameters.

    See docs/explanation/physics.md §9.

    Every start uses a different random point. For N to infinity its squared overlap with the signal is given
    by :func:`phasepipe.theory.initial.initial_spectrum`. Each start needs a dense diagonalisation.

    Parameters
    ----------
    problem, count, seed, first
        As for :func:`random`; the numbers identify the random points.
    loss
        Loss of the Hessian.

    Returns
    -------
    array, shape (count, N), float64
        The component of largest magnitude is positive; both signs are equivalent for a loss that is even in
        ``yhat``.
    """
    check_loss(loss)
    points = to_sphere(_gaussians(problem, StartKind.CURVATURE, count, seed, first))
    vectors = np.concatenate([lowest_eigenpairs(problem, loss, point, k=1)[1] for point in points])
    return np.asarray(to_sphere(vectors))


def threshold(
    problem: Problem, loss: Loss, count: int, seed: int, *, preparation: float, first: int = 0
) -> NDArray[np.float64]:
    """Threshold states of the problem without its signal, planted into the problem.

    See docs/explanation/physics.md §1 and §7.

    In the N - 1 dimensions orthogonal to ``w*`` the sensing matrix is Gaussian and independent of the
    labels: gradient flow restricted to them is the zero-signal control, and approaches its threshold states
    by the time ``preparation``. Planting means restoring the component of every row ``x_i`` along the signal,
    which is ``y_i``. This makes ``(X, w*, y)`` a regular instance, and changes neither the predictions nor
    the loss of the state, which has zero overlap. It only adds a force along the signal,
    ``-(1/sqrt(N)) sum_i l'_i y_i``, of mean zero and order one for ``|w| = sqrt(N)``, as at a random start.
    Compared with ordinary runs, these starts skip the initial descent, during which the curvature points to
    the signal.

    Parameters
    ----------
    problem, count, seed, first
        As for :func:`random`; the numbers identify the starting points of the preparation.
    loss
        Loss of the flow without signal.
    preparation
        Duration of that flow, positive.

    Returns
    -------
    array, shape (count, N), float64

    Raises
    ------
    ValueError
        If the problem has no signal or its sensing matrix is not Gaussian.
    FloatingPointError
        If the flow diverges.
    """
    if require_problem(problem).zero_signal or problem.ensemble != GAUSSIAN:
        raise ValueError("threshold starts are planted into a Gaussian problem with a signal")
    preparation = require_number("preparation", preparation, example=100.0, above=0)
    check_loss(loss)
    # use coordinates orthogonal to the signal: with all N coordinates, rounding errors along it would grow
    basis = TangentBasis.at(problem.signal)
    companion = replace(
        problem,
        sensing=basis.coordinates(problem.sensing.astype(np.float64)).astype(np.float32),
        signal=np.ones(problem.N - 1),
        zero_signal=True,
    )
    points = to_sphere(
        basis.coordinates(_gaussians(problem, StartKind.THRESHOLD, count, seed, first)),
    )
    # every run must reach the end, so disable the certificate of traps and the recovery threshold
    protocol = RunProtocol(
        Flow(),
        np.array([0.0, preparation]),
        recovery_threshold=1 - 1e-12,
        gradient_tolerance=_NEVER,
        snapshots=np.array([1]),
    )
    states = run_batch([companion], loss, [points], protocol)["snapshot"].values[:, 0].astype(np.float64)
    if not np.isfinite(states).all():
        raise FloatingPointError(f"a descent without signal diverged on instance {problem.instance}")
    return np.asarray(to_sphere(basis.vectors(states)))


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows with the sign chosen such that the component of largest magnitude is positive."""
    largest = np.argmax(np.abs(vectors), axis=1)
    signed: NDArray[np.float64] = vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]
    return signed
