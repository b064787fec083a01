"""Predictions for N to infinity, and from labels alone: thresholds, bulk, edge, outlier."""

from phasepipe.physics.starts import optimal_weight
from phasepipe.theory.density import bulk_density, bulk_resolvent
from phasepipe.theory.dynamics import dynamics
from phasepipe.theory.finite_size import Predicted, alpha_50, budget_50, recovery_time, success_probability
from phasepipe.theory.initial import InitialSpectrum, alpha_init, initial_spectrum, initial_transition
from phasepipe.theory.measure import ThresholdMeasure
from phasepipe.theory.phase import PhasePoint, branch_change, phase_point
from phasepipe.theory.population import Outlier, Transition
from phasepipe.theory.proximal import proximal_map
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.resolvent import Prediction, last_crossing_time, predict
from phasepipe.theory.spectral import YARDSTICKS, spectral_start, spectral_transition
from phasepipe.theory.summary import summary
from phasepipe.theory.threshold import (
    ThresholdStates,
    alpha_threshold,
    threshold_outlier,
    threshold_states,
    threshold_transition,
)

__all__ = [
    "YARDSTICKS",
    "ConvergenceError",
    "InitialSpectrum",
    "Outlier",
    "PhasePoint",
    "Predicted",
    "Prediction",
    "ThresholdMeasure",
    "ThresholdStates",
    "Transition",
    "alpha_50",
    "alpha_init",
    "alpha_threshold",
    "branch_change",
    "budget_50",
    "bulk_density",
    "bulk_resolvent",
    "dynamics",
    "initial_spectrum",
    "initial_transition",
    "last_crossing_time",
    "optimal_weight",
    "phase_point",
    "predict",
    "proximal_map",
    "recovery_time",
    "spectral_start",
    "spectral_transition",
    "success_probability",
    "summary",
    "threshold_outlier",
    "threshold_states",
    "threshold_transition",
]
