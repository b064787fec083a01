"""Every array that phasepipe stores: dimensions, data type, meaning and unit, each declared once.

The engine, the stores, the tables and the reference page of the stored arrays take their attributes from this
module. Codes of enumerations (outcome, kind of start) come from the classes that define them. Times have the
unit of the gradient flow, written ``t``; all other quantities are dimensionless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import xarray as xr


class Variable(NamedTuple):
    """Declares the dimensions, data type, meaning and unit of an array."""

    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"

    def attributes(self) -> dict[str, Any]:
        """Attributes ``long_name`` and ``units`` of the labelled array."""
        return {"long_name": self.long_name, "units": self.units}


Variables = Mapping[str, Variable]

COORDINATES = {
    "N": Variable((), "int64", "dimension"),
    "alpha": Variable(("alpha",), "float64", "realised signal-to-noise ratio M/N"),
    "measurements": Variable(("alpha",), "int64", "number of measurements M"),
    "instance": Variable(("instance",), "int64", "number of the instance"),
    "start": Variable(("start",), "int64", "position along the start axis"),
    "start_kind": Variable(("start",), "uint8", "kind of start"),
    "start_m0": Variable(("start",), "float64", "prescribed overlap of the start"),
    "start_number": Variable(("start",), "int64", "number of the start within its kind"),
    "time": Variable(("time",), "float64", "time of gradient flow, the sum of learning rates", "t"),
    "snapshot_time": Variable(("snapshot_time",), "float64", "time at which the point w(t) is stored", "t"),
    "budget": Variable(("budget",), "float64", "time budget", "t"),
    "fate": Variable(("fate",), "str", "fate of the runs that enter a mean"),
    "form": Variable(("form",), "str", "form of the shift with N"),
    "collapse": Variable(("collapse",), "str", "method of the collapse"),
    "quantity": Variable(("quantity",), "str", "quantity known early in a run"),
    "round": Variable(("round",), "int64", "round of added runs, 0 = the grid that was asked for"),
}

_CELL = ("alpha", "instance")

INSTANCES = {
    "signal": Variable((*_CELL, "component"), "float64", "signal w*"),
    "labels": Variable((*_CELL, "measurement"), "float64", "labels y"),
    "digest": Variable(_CELL, "uint64", "digest of the sensing matrix (BLAKE2b of CRC32C checksums)"),
    "sensing": Variable((*_CELL, "measurement", "component"), "float32", "sensing matrix X"),
}

RUN = ("start",)
RECORD = ("start", "time")

# results of the engine for the runs of one batch
ENGINE = {
    "outcome": Variable(RUN, "uint8", "fate of the run"),
    "recovery_time": Variable(RUN, "float64", "time at which |m| first reaches the recovery threshold", "t"),
    "end_time": Variable(RUN, "float64", "time at which the integration of the run ended", "t"),
    "evaluations": Variable(RUN, "int32", "number of gradient evaluations"),
    "overlap": Variable(RECORD, "float32", "overlap m = w.w*/N with the signal"),
    "loss": Variable(RECORD, "float32", "loss per dimension, L/N"),
    "gradient_norm": Variable(RECORD, "float32", "norm of the Riemannian gradient, |g|/sqrt(N)"),
    "mu": Variable(RECORD, "float32", "Lagrange multiplier mu of the spherical constraint"),
}

STATE = {
    "state": Variable(
        ("start", "state_element"),
        "float64",
        "state from which an undecided run is continued to a larger t_max, NaN for other runs",
    ),
}

# predictions from labels and predictions yhat alone, at every record
PREDICTED = {
    "edge": Variable(RECORD, "float32", "predicted left edge of the bulk of the Hessian"),
    "outlier": Variable(RECORD, "float32", "predicted signal outlier of the Hessian, NaN if there is none"),
    "outlier_overlap": Variable(
        RECORD, "float32", "predicted squared overlap of the outlier's eigenvector with the signal"
    ),
    "bbp_margin": Variable(
        RECORD, "float32", "signed distance from the BBP transition, positive if there is an outlier"
    ),
}

WINDOW_END = {
    "t_bbp": Variable(
        RUN,
        "float64",
        "time at which the signal outlier disappears; NaN if there never is one, inf if it lasts to the end",
        "t",
    ),
}

SNAPSHOT = Variable(
    ("alpha", "snapshot_instance", "snapshot_start", "snapshot_time", "component"),
    "float32",
    "point w(t) on the sphere",
)


def _of_cells(variables: Variables) -> dict[str, Variable]:
    return {name: variable._replace(dims=(*_CELL, *variable.dims)) for name, variable in variables.items()}


RUNS = _of_cells(ENGINE | PREDICTED | WINDOW_END | STATE)

_EIGENVALUE = ("eigenvalue",)
_MODE = ("mode",)

# measurements at a stored point of a run
SPECTRUM = {
    "eigenvalues": Variable(_EIGENVALUE, "float64", "lowest eigenvalues of the Riemannian Hessian"),
    "signal_overlap": Variable(
        _EIGENVALUE, "float64", "squared overlap of the eigenvectors with the tangent direction of the signal"
    ),
    "all_eigenvalues": Variable(_MODE, "float32", "all eigenvalues of the Riemannian Hessian"),
    "all_signal_overlaps": Variable(
        _MODE, "float32", "squared overlap of every eigenvector with the tangent direction of the signal"
    ),
    "overlap": Variable((), "float64", "overlap m = w.w*/N with the signal"),
    "mu": Variable((), "float64", "Lagrange multiplier mu of the spherical constraint"),
    "index": Variable((), "float64", "share of negative eigenvalues"),
    "largest_eigenvalue": Variable((), "float64", "largest eigenvalue of the Riemannian Hessian"),
    "largest_signal_overlap": Variable(
        (), "float64", "largest squared overlap of any eigenvector with the signal"
    ),
    "largest_signal_overlap_rank": Variable(
        (), "float64", "rank of the eigenvector with the largest signal overlap, 0 = lowest eigenvalue"
    ),
}

_DENSITY = {
    "density_eigenvalue": Variable(("grid",), "float32", "eigenvalue at which the density is predicted"),
    "density": Variable(("grid",), "float32", "predicted density of the bulk"),
}

_POINT = ("alpha", "instance", "start", "time")

SPECTRA = {
    name: variable._replace(dims=(*_POINT, *variable.dims))
    for name, variable in (SPECTRUM | _DENSITY).items()
    if name != "all_signal_overlaps"  # as large as the eigenvalues, and seldom needed
} | {name: variable._replace(dims=_POINT, dtype="float64") for name, variable in PREDICTED.items()}

THRESHOLDS = {
    "alpha_init": Variable((), "float64", "BBP transition at a random start"),
    "alpha_threshold": Variable(
        (), "float64", "BBP transition at the marginal one-step-RSB states, the literature's threshold"
    ),
    "alpha_most_numerous": Variable(
        (), "float64", "the most numerous marginal minima become unstable towards the signal"
    ),
    "alpha_lowest": Variable(
        (), "float64", "the marginal minima of lowest energy become unstable towards the signal"
    ),
    "alpha_trivialisation": Variable((), "float64", "no stable minimum of overlap 0 exists beyond it"),
    "alpha_weak_recovery": Variable((), "float64", "threshold of weak recovery by any algorithm"),
    "alpha_information_theoretic": Variable(
        (), "float64", "information-theoretic threshold of full recovery"
    ),
    "alpha_approximate_message_passing": Variable(
        (), "float64", "threshold of full recovery by approximate message passing"
    ),
}

_ALPHA = ("alpha",)

AT_ALPHA = {
    "initial_mu": Variable(_ALPHA, "float64", "Lagrange multiplier at a random start"),
    "initial_edge": Variable(_ALPHA, "float64", "left edge of the Hessian at a random start"),
    "initial_outlier": Variable(_ALPHA, "float64", "signal outlier of the Hessian at a random start"),
    "initial_overlap": Variable(
        _ALPHA, "float64", "squared overlap of the outlier with the signal at a random start"
    ),
    "threshold_energy": Variable(_ALPHA, "float64", "energy of the one-step-RSB states per dimension"),
    "threshold_complexity": Variable(
        _ALPHA,
        "float64",
        "complexity of the one-step-RSB states per dimension; negative: typically none exist",
    ),
    "marginal_energy_lowest": Variable(
        _ALPHA, "float64", "lowest energy of marginal minima per dimension, where their complexity vanishes"
    ),
    "marginal_energy_most_numerous": Variable(
        _ALPHA, "float64", "energy of the most numerous marginal minima per dimension"
    ),
    "marginal_complexity": Variable(
        _ALPHA, "float64", "complexity of the most numerous marginal minima per dimension"
    ),
    "threshold_chi": Variable(_ALPHA, "float64", "response chi of the threshold states"),
    "threshold_x": Variable(_ALPHA, "float64", "breaking parameter x of the threshold states"),
    "threshold_mu": Variable(_ALPHA, "float64", "Lagrange multiplier at the threshold states"),
    "threshold_outlier": Variable(_ALPHA, "float64", "signal outlier of the Hessian at the threshold states"),
    "threshold_overlap": Variable(
        _ALPHA, "float64", "squared overlap of the outlier with the signal at the threshold states"
    ),
    "spectral_start_overlap": Variable(
        _ALPHA, "float64", "squared overlap of the spectral start with the signal"
    ),
}

THEORY = THRESHOLDS | AT_ALPHA

_SUCCESS = ("N", "alpha", "start_group", "budget")

SUCCESS = {
    "k": Variable(_SUCCESS, "int64", "number of recovered runs"),
    "n": Variable(_SUCCESS, "int64", "number of computed runs without the diverged ones"),
    "p": Variable(_SUCCESS, "float64", "success probability"),
    "lower": Variable(_SUCCESS, "float64", "lower end of the confidence interval of the success probability"),
    "upper": Variable(_SUCCESS, "float64", "upper end of the confidence interval of the success probability"),
    "correlation": Variable(_SUCCESS, "float64", "intraclass correlation of the starts of one instance"),
    "design_effect": Variable(_SUCCESS, "float64", "variance of p over its binomial variance"),
    "instances": Variable(_SUCCESS, "int64", "number of instances with at least one run that counts"),
    "trapped_share": Variable(_SUCCESS, "float64", "share of runs certified trapped"),
    "undecided_share": Variable(_SUCCESS, "float64", "share of runs still undecided at the time budget"),
    "diverged": Variable(_SUCCESS[:3], "int64", "number of diverged runs, which are excluded"),
    "pending": Variable(
        _SUCCESS[:3], "int64", "number of runs that are not computed yet, which are excluded"
    ),
    "last_decade_change": Variable(
        _SUCCESS, "float64", "change of the success probability over the last decade of time"
    ),
}

_FATE = ("N", "alpha", "quantity")
_BIN = (*_FATE, "bin")

FATE = {
    "auc": Variable(_FATE, "float64", "area under the receiver operating characteristic"),
    "auc_low": Variable(_FATE, "float64", "lower end of the confidence interval of the area under the curve"),
    "auc_high": Variable(
        _FATE, "float64", "upper end of the confidence interval of the area under the curve"
    ),
    "runs_left_out": Variable(_FATE, "float64", "number of runs for which the quantity is unknown"),
    "probability": Variable(_BIN, "float64", "share of recovered runs"),
    "probability_low": Variable(
        _BIN, "float64", "lower end of the confidence interval of the share of recovered runs"
    ),
    "probability_high": Variable(
        _BIN, "float64", "upper end of the confidence interval of the share of recovered runs"
    ),
    "bin_median": Variable(_BIN, "float64", "median of the quantity in the bin"),
    "runs": Variable(_BIN, "float64", "number of runs in the bin"),
    "auc_growth": Variable(
        _FATE[:2], "float64", "area under the curve of |m| at the median t_BBP minus that at t = 0"
    ),
    "auc_growth_low": Variable(
        _FATE[:2], "float64", "lower end of the confidence interval of the growth of the area, paired by run"
    ),
    "auc_growth_high": Variable(
        _FATE[:2], "float64", "upper end of the confidence interval of the growth of the area, paired by run"
    ),
    "share_recovered": Variable(_FATE[:2], "float64", "share of recovered runs in the cell"),
    "moment": Variable(
        _FATE[:2], "float64", "median t_BBP of the runs of the cell that lose their outlier", "t"
    ),
}

# what the analysis of one cell gives beyond what is stored
FATE_BINS = {
    "bin_low": Variable(_BIN, "float64", "smallest value of the quantity in the bin"),
    "bin_high": Variable(_BIN, "float64", "largest value of the quantity in the bin"),
}

_DYNAMICS = ("alpha", "time")
_HALF = ("alpha", "budget")

_SERIES = {
    "energy": "loss per dimension for N to infinity",
    "mu": "Lagrange multiplier of the sphere for N to infinity",
    "correlation": "correlation C(t, 0) of the point with its start for N to infinity",
    "amplification": "amplification A(t) of a small initial overlap",
    "overlap_variance": "variance N E[m²] of the overlap from random starts",
    "edge": "left edge of the bulk of the Hessian for N to infinity",
    "outlier": "signal outlier of the Hessian for N to infinity, NaN without one",
    "outlier_overlap": "squared overlap of the outlier's eigenvector with the signal for N to infinity",
    "bbp_margin": "margin of the BBP transition for N to infinity, positive with an outlier",
}

DYNAMICS = {
    name: Variable(_DYNAMICS, "float64", long_name)
    for series, meaning in _SERIES.items()
    for name, long_name in ((series, meaning), (f"{series}_error", f"standard error of {series}"))
} | {
    "t_bbp": Variable(_ALPHA, "float64", "time at which the outlier ceases to exist for N to infinity", "t"),
    "t_bbp_error": Variable(_ALPHA, "float64", "standard error of t_bbp", "t"),
    "half_size": Variable(_HALF, "float64", "predicted dimension at which half of the starts recover"),
    "half_size_log_error": Variable(_HALF, "float64", "standard error of the logarithm of half_size"),
}


def _named(
    dims: tuple[str, ...], dtype: str, meanings: Mapping[str, str], units: str = "1"
) -> dict[str, Variable]:
    return {name: Variable(dims, dtype, meaning, units) for name, meaning in meanings.items()}


def _with_ends(name: str, meaning: str, of: str) -> dict[str, str]:
    """A value and both ends of its confidence interval."""
    ends = {end: f"{end} end of the confidence interval of {of}" for end in ("lower", "upper")}
    return {name: meaning} | {f"{name}_{end}": text for end, text in ends.items()}


CURVES = _named(
    ("N",),
    "float64",
    _with_ends("alpha_50", "alpha at which half of the runs recover", "alpha_50")
    | {
        "alpha_50_error": "standard error of alpha_50",
        "alpha_50_model": "part of the error of alpha_50 that is due to the unknown shape of the curve",
    }
    | _with_ends("width", "distance in alpha between the quartiles of the success curve", "the width")
    | {
        "width_error": "standard error of the width",
        "width_model": "part of the error of the width that is due to the unknown shape of the curve",
        "goodness": "p value of the lack-of-fit test",
        "correlation": "intraclass correlation of the starts of one instance",
    },
) | _named(("N",), "str", {"status": "status of the fit", "message": "what limits the fit"})

FORMS = _named(
    ("form",),
    "float64",
    _with_ends("limit", "limit of alpha_50 for N to infinity", "the limit")
    | {"amplitude": "shift at the smallest N, or b of a + b log N"}
    | _with_ends("shape", "omega of a power law, log(N_min / N0) of the inverse logarithm", "the shape")
    | {
        "chi2": "chi-squared of the form",
        "degrees_of_freedom": "degrees of freedom of the form",
        "form_goodness": "p value of chi-squared",
        "aicc": "corrected Akaike information criterion",
        "weight": "Akaike weight of the form",
    },
)

COLLAPSES = _named(
    ("collapse",),
    "float64",
    _with_ends("alpha_c", "critical alpha of the collapse", "alpha_c")
    | _with_ends("inverse_nu", "exponent 1/nu of the collapse", "1/nu")
    | {
        "collapse_omega": "exponent of the correction to scaling",
        "quality": "quality of the collapse, about 1 if the data collapse",
        "points_entered": "points that entered the collapse",
    },
)

WORDS = _named(
    (), "str", {"verdict": "what the data say about the limit", "notes": "what could not be done, and why"}
)

# alpha_50 against the time budget; the last budget is infinite
TIME_LIMIT = (
    _named(
        ("N", "budget"),
        "float64",
        _with_ends("budget_alpha_50", "alpha_50 at the time budget", "alpha_50 at the time budget")
        | {"budget_alpha_50_error": "standard error of alpha_50 at the time budget"}
        | _with_ends("budget_width", "width of the success curve at the time budget", "that width")
        | {"budget_undecided": "largest share, over alpha, of runs undecided at the time budget"},
    )
    | {"budget_note": Variable(("N", "budget"), "str", "what limits the estimate at the time budget")}
    | _named(
        ("N",),
        "float64",
        _with_ends("tail_exponent", "exponent gamma of late recoveries, t^-gamma", "gamma")
        | {"tail_recoveries": "late recoveries behind gamma"},
    )
)

SCALING = {
    name: variable._replace(dims=("start_group", *variable.dims))
    for name, variable in (CURVES | FORMS | COLLAPSES | TIME_LIMIT | WORDS).items()
}

FLOW_THRESHOLD = (
    _named(
        ("N", "alpha"),
        "float64",
        {
            "response": "mean response S to the signal at the last record",
            "response_error": "standard error of response",
            "response_limit": "response S extrapolated to t to infinity",
            "response_limit_error": "standard error of response_limit",
        },
    )
    | {"runs": Variable(("N", "alpha"), "int64", "runs behind the response")}
    | _named(
        ("N",),
        "float64",
        {
            "crossing": "alpha at which the response for t to infinity is 1",
            "crossing_error": "standard error of crossing",
            "crossing_end": "alpha at which the response at the last record is 1",
            "crossing_end_error": "standard error of crossing_end",
        },
    )
    | _named(
        (),
        "float64",
        {
            "alpha_flow": "alpha at which the response is 1 for t and N to infinity",
            "alpha_flow_error": "error of alpha_flow, its three parts added in squares",
            "alpha_flow_statistical": "statistical part of the error of alpha_flow",
            "alpha_flow_size": "part of the error of alpha_flow that is due to the extrapolation in N",
            "alpha_flow_time": "part of the error of alpha_flow that is due to the extrapolation in time",
            "alpha_flow_end": "alpha at which the response at the last record is 1 for N to infinity",
            "alpha_flow_end_error": "error of alpha_flow_end",
            "exponent": "exponent p of the approach t^-p of the response to its limit",
        },
    )
    | _named((), "str", {"note": "what could not be found, and why"})
)

# the rounds of a sweep with the key precision; round 0 is the grid that was asked for
PRECISION = (
    _named(
        ("round", "N"),
        "float64",
        _with_ends("alpha_50", "alpha_50 after the round", "alpha_50 after the round")
        | {"half_width": "half-width of the interval of alpha_50 after the round, inf if unbounded"},
    )
    | _named(
        ("round",), "float64", {"core_seconds": "core-seconds of the round, as estimated in advance"}, "s"
    )
    | {"why": Variable(("round",), "str", "why the runs of the round were added")}
    | _named(
        ("addition",),
        "int64",
        {
            "added_round": "round that added the runs",
            "added_N": "dimension of the added runs",
            "added_measurements": "number of measurements of the added runs",
            "added_instances": "instances that the round added",
            "added_total": "instances at this N and number of measurements after the round",
        },
    )
    | {
        "wanted": Variable((), "float64", "half-width of alpha_50 that is wanted"),
        "budget_seconds": Variable((), "float64", "core-seconds that the rounds may cost", "s"),
        "conclusion": Variable((), "str", "how the rounds ended; empty while they go on"),
    }
)

# tables of reduced sweeps: single runs, runs by instance, and means over the runs of a fate

RECOVERY = {
    name: ENGINE[name]._replace(dims=("N", "alpha", "start_group", "instance", "start"), dtype=dtype)
    for name, dtype in (("outcome", "uint8"), ("recovery_time", "float32"), ("end_time", "float32"))
}

COUNTS = _named(
    ("N", "alpha", "start_group", "instance"),
    "uint16",
    {
        "recovered": "recovered runs",
        "trapped": "trapped runs",
        "undecided": "undecided runs",
        "diverged": "diverged runs",
        "runs": "runs that count (all computed but diverged)",
    },
)

_BY_FATE = ("N", "alpha", "start_group", "fate")
_QUARTILES = {"lower": "lower quartile", "median": "median", "upper": "upper quartile"}

WINDOW = (
    _named(
        _BY_FATE,
        "float64",
        {
            f"t_bbp_{end}": f"{name} of the time at which the outlier is lost for good"
            for end, name in _QUARTILES.items()
        },
        "t",
    )
    | _named(
        _BY_FATE[:3],
        "float64",
        {f"recovery_time_{end}": f"{name} of the recovery time" for end, name in _QUARTILES.items()},
        "t",
    )
    | _named(
        _BY_FATE,
        "float64",
        {
            "never": "share of runs that never have an outlier",
            "lasting": "share of runs that keep their outlier to the end",
            "energy": "loss per dimension at the end of the run",
            "energy_error": "standard error of the loss per dimension at the end of the run",
            "runs": "runs behind the numbers",
        },
    )
)

DECISION = _named(
    ("N", "alpha", "start_group", "time"),
    "float32",
    {
        "auc": "probability that a recovered run has the larger |m| at this time than another run",
        "auc_outlier": "the same for the predicted squared overlap of the outlier",
    },
)


def _means(meanings: Mapping[str, str]) -> dict[str, Variable]:
    """Means by fate and time with their standard errors, and the number of runs."""
    errors = {f"{name}_error": f"standard error of {meaning}" for name, meaning in meanings.items()}
    series = _named((*_BY_FATE, "time"), "float32", dict(meanings) | errors)
    return series | {"runs": Variable(_BY_FATE, "uint32", "runs behind the means")}


_PREDICTED_MEANS = {
    "edge": "predicted left edge of the bulk",
    "outlier": "predicted signal outlier, of the runs that have one",
    "outlier_overlap": "predicted squared overlap of the outlier with the signal, 0 without outlier",
    "outlier_share": "share of runs that have an outlier",
}

COURSE = _means(
    {
        "overlap": "overlap |m| with the signal",
        "energy": "loss per dimension",
        "gradient_norm": "norm of the Riemannian gradient |g|/sqrt(N)",
    }
    | _PREDICTED_MEANS
)

CURVATURE = _means(
    {
        "overlap": "overlap |m| with the signal",
        "lowest_eigenvalue": "lowest eigenvalue of the Hessian",
        "second_eigenvalue": "second eigenvalue of the Hessian",
        "lowest_overlap": "squared overlap q_0 of the lowest eigenvector with the signal direction",
        "largest_overlap": "largest squared overlap of any eigenvector with the signal direction",
        "lowest_is_largest": "share of runs whose lowest eigenvector has the largest overlap",
        "index": "share of negative eigenvalues",
        "signal_curvature": "second derivative h of the loss along the signal direction",
    }
    | _PREDICTED_MEANS
)

STORES: Mapping[str, Variables] = {
    "instances": INSTANCES,
    "runs": RUNS | {"snapshot": SNAPSHOT},
    "spectra": SPECTRA,
    "theory": THEORY,
    "success": SUCCESS,
    "scaling": SCALING,
    "fate": FATE,
    "dynamics": DYNAMICS,
    "flow_threshold": FLOW_THRESHOLD,
    "precision": PRECISION,
    "counts": COUNTS,
    "recovery": RECOVERY,
    "window": WINDOW,
    "decision": DECISION,
    "course": COURSE,
    "curvature": CURVATURE,
}
"""All arrays, by the store or table that contains them."""


def flags(kinds: type[IntEnum]) -> dict[str, Any]:
    """CF attributes that give the meaning of the codes of an enumeration."""
    return {
        "flag_values": [int(kind) for kind in kinds],
        "flag_meanings": " ".join(kind.name.lower() for kind in kinds),
    }


def labelled(table: xr.Dataset, variables: Variables, names: Iterable[str] | None = None) -> xr.Dataset:
    """Return ``table`` with the declared attributes of its arrays and coordinates; existing ones stay.

    Parameters
    ----------
    table
        The arrays to label.
    variables
        Declarations of the arrays.
    names
        Names of the arrays to label; default all arrays of the table.

    Raises
    ------
    KeyError
        If an array is not declared.
    """
    labels = {str(name): variables[str(name)] for name in (table.data_vars if names is None else names)}
    labels |= {str(name): COORDINATES[str(name)] for name in table.coords if name in COORDINATES}
    described = table.copy()
    for name, variable in labels.items():
        described[name].attrs = described[name].attrs | variable.attributes()
    return described
