"""Predictions for N to infinity and predictions from labels: thresholds, bulk, edge and outlier."""

from phasepipe.physics.spectral_weight import optimal_weight
from phasepipe.theory.complexity import CriticalPoints, complexity, landscape_outlier
from phasepipe.theory.density import bulk_density, bulk_resolvent
from phasepipe.theory.dynamics import dynamics
from phasepipe.theory.finite_size import Predicted, alpha_50, budget_50, recovery_time, success_probability
from phasepipe.theory.flow_response import FlowResponse, flow_response
from phasepipe.theory.initial import InitialSpectrum, alpha_init, initial_spectrum, initial_transition
from phasepipe.theory.landscape import (
    EnergyRange,
    MarginalMinima,
    ThresholdBand,
    complexity_line,
    energy_range,
    marginal_minima,
    threshold_band,
    trivialisation,
)
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
from phasepipe.theory.tilted import TiltedMeasure

__all__ = [
    "YARDSTICKS",
    "ConvergenceError",
    "CriticalPoints",
    "EnergyRange",
    "FlowResponse",
    "InitialSpectrum",
    "MarginalMinima",
    "Outlier",
    "PhasePoint",
    "Predicted",
    "Prediction",
    "ThresholdBand",
    "ThresholdMeasure",
    "ThresholdStates",
    "TiltedMeasure",
    "Transition",
    "alpha_50",
    "alpha_init",
    "alpha_threshold",
    "branch_change",
    "budget_50",
    "bulk_density",
    "bulk_resolvent",
    "complexity",
    "complexity_line",
    "dynamics",
    "energy_range",
    "flow_response",
    "initial_spectrum",
    "initial_transition",
    "landscape_outlier",
    "last_crossing_time",
    "marginal_minima",
    "optimal_weight",
    "phase_point",
    "predict",
    "proximal_map",
    "recovery_time",
    "spectral_start",
    "spectral_transition",
    "success_probability",
    "summary",
    "threshold_band",
    "threshold_outlier",
    "threshold_states",
    "threshold_transition",
    "trivialisation",
]
