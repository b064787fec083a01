"""From counts and arrays to success curves, scaling and figures. No files, no store.

Start with a table of counts (:func:`tidy_counts`, any source) or with labelled runs (:func:`success_table`,
:func:`counts_at_budget`); :func:`scaling_study` does the rest and :func:`scaling_report` writes it down.
Figures are in ``phasepipe.figures.scaling``.
"""

from phasepipe.analysis.collapse import Collapse, collapse_quality, fit_collapse, fit_smooth_collapse
from phasepipe.analysis.counts import counts_from_xarray, tidy_counts
from phasepipe.analysis.curves import CurveFit, CurveStatus, curve_table, fit_curves
from phasepipe.analysis.extrapolation import Extrapolation, extrapolate
from phasepipe.analysis.intervals import SuccessInterval, bootstrap_interval, success_interval
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.refinement import Refinement, propose_refinement
from phasepipe.analysis.scaling import ScalingStudy, extrapolation_table, scaling_dataset, scaling_study
from phasepipe.analysis.scaling_text import scaling_report, verdict
from phasepipe.analysis.size_fit import SizeFit
from phasepipe.analysis.success import counts_at_budget, counts_by_instance, success_table

__all__ = [
    "Collapse",
    "CurveFit",
    "CurveStatus",
    "Extrapolation",
    "PlantedScaling",
    "Refinement",
    "ScalingStudy",
    "SizeFit",
    "SuccessInterval",
    "bootstrap_interval",
    "collapse_quality",
    "counts_at_budget",
    "counts_by_instance",
    "counts_from_xarray",
    "curve_table",
    "extrapolate",
    "extrapolation_table",
    "fit_collapse",
    "fit_curves",
    "fit_smooth_collapse",
    "propose_refinement",
    "scaling_dataset",
    "scaling_report",
    "scaling_study",
    "success_interval",
    "success_table",
    "tidy_counts",
    "verdict",
]
