"""Applies the physics to the specification of a sweep: draws, runs, predictions and spectra.

This code decides the results, so the stores record its hash and refuse results of other code.
"""
