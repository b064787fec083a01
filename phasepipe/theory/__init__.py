"""Predictions for N to infinity, and from labels alone: thresholds, bulk, edge, outlier."""

from phasepipe.theory.resolvent import (
    Prediction,
    bulk_density,
    last_crossing_time,
    predict,
    resolvent,
)

__all__ = ["Prediction", "bulk_density", "last_crossing_time", "predict", "resolvent"]
