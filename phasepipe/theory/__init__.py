"""Predictions for N to infinity, and from labels alone: thresholds, bulk, edge, outlier."""
