"""Predictions for N to infinity, and from labels alone: thresholds, bulk, edge, outlier."""

from phasepipe.theory.density import bulk_density, bulk_resolvent
from phasepipe.theory.resolvent import Prediction, last_crossing_time, predict

__all__ = ["Prediction", "bulk_density", "bulk_resolvent", "last_crossing_time", "predict"]
