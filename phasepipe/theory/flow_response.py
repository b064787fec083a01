"""Response to the signal where gradient flow ends, from labels and predictions of its last state.

Zero-signal flow ends in marginal minima. Were there a signal, their Hessian would have a direction towards it
as soon as the response ``S = -alpha <(y² - 1) chi T / (1 + chi T)>`` exceeds 1, ``-chi`` the resolvent
variable at the edge of the bulk. So the alpha at which ``S = 1`` is the threshold that the flow meets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasepipe.physics.losses import Loss
from phasepipe.theory.resolvent import predict

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class FlowResponse:
    """What labels and predictions say of a state; every array has shape (...), one entry a run and time."""

    response: Float64  # S, dimensionless
    chi: Float64  # minus the resolvent variable at the edge, in units of 1 / curvature
    edge: Float64  # left edge of the Hessian's bulk, mu subtracted: 0 where the state is marginal
    energy: Float64  # loss per dimension


def flow_response(labels: ArrayLike, yhat: ArrayLike, loss: Loss, N: float) -> FlowResponse:
    """Response to the signal of states that know nothing of it.

    Parameters
    ----------
    labels, yhat
        Labels and predictions, shapes (..., M) that broadcast together.
    loss
        Loss with ``value``, ``slope`` and ``curvature``.
    N
        Dimension.

    Raises
    ------
    ValueError
        If the shapes do not fit or N is not positive.
    """
    found = predict(labels, yhat, 0.0, loss, N)
    y, prediction = np.asarray(labels, dtype=np.float64), np.asarray(yhat, dtype=np.float64)
    energy = np.asarray(loss.value(prediction, y), dtype=np.float64).sum(axis=-1) / N
    return FlowResponse(found.bbp_margin + 1, -found.g_edge, found.edge, energy)
