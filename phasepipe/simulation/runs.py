"""Runs the instances of a sweep: combines engine, loss, protocol and the prediction from labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.physics.batch import run_batch
from phasepipe.physics.continuation import RunStates
from phasepipe.physics.problem import Problem
from phasepipe.physics.protocol import RunProtocol
from phasepipe.simulation.prediction import LabelPredictor
from phasepipe.specification.sweep import Sweep


def run_instances(
    sweep: Sweep,
    problems: list[Problem],
    points: list[NDArray[np.float64]],
    protocol: RunProtocol,
    snapshot_runs: NDArray[np.bool_],
    states: RunStates | None = None,
) -> xr.Dataset:
    """Run the starts ``points`` of ``problems`` with the loss of the sweep and the prediction from labels.

    ``points`` holds one array (starts, N) per problem; see :func:`phasepipe.physics.batch.run_batch`.
    """
    loss = sweep.loss.build()
    predicting = replace(protocol, predictor=LabelPredictor(loss, problems[0].N))
    return run_batch(problems, loss, points, predicting, snapshot_runs, states)
