"""Response to the signal at the end of gradient flow, from labels and predictions of the final state.

Zero-signal flow ends in marginal minima. If there were a signal, their Hessian would have a direction towards
it when the response ``S = -alpha <(y² - 1) chi T / (1 + chi T)>`` exceeds 1, where ``-chi`` is the resolvent
variable at the edge of the bulk. The alpha at which ``S = 1`` is therefore the threshold of the flow.
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
    """Properties of states from labels and predictions; arrays have shape (...), usually (run, time)."""

    response: Float64  # S, dimensionless
    chi: Float64  # minus the resolvent variable at the edge, in units of 1 / curvature
    edge: Float64  # left edge of the bulk of the Hessian, mu subtracted; 0 if the state is marginal
    energy: Float64  # loss per dimension


def flow_response(labels: ArrayLike, yhat: ArrayLike, loss: Loss, N: float) -> FlowResponse:
    """Response to the signal of states that are independent of it.

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
