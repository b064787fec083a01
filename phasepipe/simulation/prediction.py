"""Prediction of the Hessian's edge and outlier at every record of a run (PHYSICS §5)."""

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
    """Edge and outlier from labels and predictions, for runs of dimension ``N``."""

    loss: Loss
    N: int

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What is predicted at every record."""
        return PREDICTED

    def __call__(
        self, labels: Float, predictions: NDArray[np.floating], overlaps: Float
    ) -> Mapping[str, Float]:
        """Predictions for rows of (rows, M) predictions."""
        predicted = predict(labels, predictions, overlaps, self.loss, self.N)
        return {name: getattr(predicted, name) for name in PREDICTED}


def window_end(runs: xr.Dataset) -> Float:
    """``t_BBP`` of every run from its recorded margin, shape (start,)."""
    return last_crossing_time(runs["time"].values, runs["bbp_margin"].values)
