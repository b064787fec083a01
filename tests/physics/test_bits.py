"""The bits of a run depend on nothing but the run, on every kernel of the BLAS that can be tried here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__ as features

import phasepipe as pp
from phasepipe.physics.panels import ROWS, Panels
from phasepipe.theory import predict

NEEDS = {"Haswell": ("AVX2", "FMA3"), "SkylakeX": ("AVX512_SKX",)}

RUNS_ALONE_AND_TOGETHER = """
import numpy as np
import phasepipe as pp
from phasepipe.physics.flow import Descent, Flow, RunProtocol, run_batch
from phasepipe.physics.records import record_times
from phasepipe.simulation.prediction import LabelPredictor

loss = pp.NormalisedQuartic(0.01)
for N, alpha in [(2, 3.0), (16, 2.5), (33, 2.7), (64, 2.5), (100, 3.1), (256, 2.0)]:
    for dynamics, dtype in [(Flow(), "float32"), (Flow(), "float64"), (Descent(1e-3), "float32")]:
        problems = [pp.Problem.draw(N, alpha, seed=1, instance=i) for i in range(3)]
        starts = [pp.starts.random(problem, 11, seed=1) for problem in problems]

        def run(chosen, rows, per_decade):
            t_max = 10 if dynamics == Flow() else 0.1
            protocol = RunProtocol(
                dynamics, record_times(t_max, per_decade), dtype=dtype, predictor=LabelPredictor(loss, N)
            )
            points = [starts[i][rows] for i in chosen]
            found = run_batch([problems[i] for i in chosen], loss, points, protocol)
            return found.sel(time=record_times(t_max, 8))

        together = run(range(3), slice(None), 8)
        for instance in (0, 2):
            for rows in ([5], [0, 1, 4, 10], slice(None)):
                alone = run([instance], rows, 32)
                for name in alone.data_vars:
                    before = together[name].values[11 * instance : 11 * instance + 11][rows]
                    same = np.array_equal(alone[name].values, before, equal_nan=True)
                    assert same, (name, N, dtype, dynamics, instance, rows)
"""

PRODUCTS = """
import sys
import numpy as np
from phasepipe.physics.panels import Panels

draw = np.random.default_rng(0)
sizes = [1, 2, 3, 7, 8, 15, 16, 31, 33, 64, 100, 128, 200, 257, 384, 500, 777, 1100]
for dtype in (np.float32, np.float64):
    for depth in sizes:
        for width in sizes:
            panels = Panels(draw.standard_normal((depth, width)).astype(dtype))
            row, others = draw.standard_normal((1, depth)).astype(dtype), draw.standard_normal((21, depth))
            alone, out = np.empty((1, width), dtype), np.empty((21, width), dtype)
            scratch = np.empty(panels.scratch_size(21), dtype)
            panels.multiply(row, alone, scratch)
            for place in range(21):
                rows = others.astype(dtype)
                rows[place] = row
                count = max(place + 1, 21 - place)
                panels.multiply(rows[:count], out[:count], scratch)
                assert (out[place] == alone[0]).all(), (depth, width, place)
"""

FATES_IN_HEX = """
import hashlib
import phasepipe as pp

digest = hashlib.sha256()
for N in (16, 64, 128):
    problem, loss = pp.Problem.draw(N, 2.5, seed=1), pp.NormalisedQuartic(0.01)
    random, informed = pp.starts.random(problem, 9, 1), pp.starts.curvature(problem, loss, 1, 1)
    for w0 in (random, informed, pp.starts.spectral(problem)):
        runs = pp.run_flow(problem, loss, w0, t_max=5)
        for name in sorted(runs.data_vars):
            digest.update(runs[name].values.tobytes())
print(digest.hexdigest())
"""


def run_with(kernels, code, threads=1):
    """Output of ``code`` in a Python of its own, with the BLAS kernels of another kind of processor."""
    missing = [name for name in NEEDS[kernels] if not features.get(name)]
    if missing:
        pytest.skip(f"this processor has no {missing[0]}")
    environment = os.environ | {"OPENBLAS_CORETYPE": kernels, "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(Path(pp.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kernels", NEEDS)
def test_a_row_has_the_same_product_in_any_place_beside_any_others(kernels):
    run_with(kernels, PRODUCTS)


@pytest.mark.parametrize("kernels", NEEDS)
def test_a_run_alone_has_the_bits_it_has_among_others_and_with_more_records(kernels):
    run_with(kernels, RUNS_ALONE_AND_TOGETHER)


@pytest.mark.parametrize("kernels", NEEDS)
def test_the_number_of_blas_threads_does_not_change_a_run(kernels):
    assert run_with(kernels, FATES_IN_HEX, threads=1) == run_with(kernels, FATES_IN_HEX, threads=2)


@pytest.mark.parametrize("M", [5, 96, 768])
def test_a_prediction_does_not_depend_on_the_rows_beside_it(M):
    draw, loss = np.random.default_rng(M), pp.NormalisedQuartic(0.01)
    labels, yhat = draw.standard_normal(M), draw.standard_normal((13, M)).astype(np.float32)
    overlaps = draw.uniform(0, 0.5, 13)
    together = predict(labels, yhat, overlaps, loss, M / 3)
    for row in range(13):
        alone = predict(labels, yhat[row : row + 1], overlaps[row : row + 1], loss, M / 3)
        for name in ("edge", "outlier", "outlier_overlap", "bbp_margin", "mu"):
            one, all_of_them = getattr(alone, name), getattr(together, name)
            np.testing.assert_array_equal(one, all_of_them[row : row + 1])


def test_rows_are_padded_with_zeros_whatever_the_scratch_holds():
    matrix, row = np.ones((3, 4)), np.ones((1, 3))
    panels, out = Panels(matrix), np.empty((1, 4))
    scratch = np.full(panels.scratch_size(1), np.nan)
    panels.multiply(row, out, scratch)
    np.testing.assert_array_equal(out, np.full((1, 4), 3.0))
    assert not np.isnan(scratch[: ROWS * 3]).any()
