"""Prediction of the bulk edge and the outlier of the Hessian at every record of a run.

See docs/explanation/physics.md §5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.physics.losses import Loss
from phasepipe.theory.resolvent import last_crossing_time, predict
from phasepipe.variables import PREDICTED, Variable

Float = NDArray[np.float64]


@dataclass(frozen=True)
class LabelPredictor:
    """Predicts bulk edge and outlier from labels and predictions, for runs in dimension ``N``."""

    loss: Loss
    N: int

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Declarations of the arrays that are predicted at every record."""
        return PREDICTED

    def __call__(
        self, labels: Float, predictions: NDArray[np.floating], overlaps: Float
    ) -> Mapping[str, Float]:
        """Predicted arrays by name, shape (rows,).

        Parameters
        ----------
        labels
            Labels, shape (M,).
        predictions
            Predictions yhat of each row, shape (rows, M).
        overlaps
            Overlap m of each row, shape (rows,).
        """
        predicted = predict(labels, predictions, overlaps, self.loss, self.N)
        return {name: getattr(predicted, name) for name in PREDICTED}


def window_end(runs: xr.Dataset) -> Float:
    """``t_BBP`` of every run from its recorded distance to the BBP transition, shape (start,)."""
    return last_crossing_time(runs["time"].values, runs["bbp_margin"].values)
