"""The bits of a run depend on nothing but the run, on every kind of processor that can be tried here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__ as features

import phasepipe as pp
from phasepipe.theory import predict

NEEDS = {"Haswell": ("AVX2", "FMA3"), "SkylakeX": ("AVX512_SKX",)}
COMPILED_FOR = {"Haswell": "haswell", "SkylakeX": "skylake-avx512"}

RUNS_ALONE_AND_TOGETHER = """
import numpy as np
import phasepipe as pp
from phasepipe.physics.batch import run_batch
from phasepipe.physics.protocol import Descent, Flow, RunProtocol
from phasepipe.physics.record_times import record_times
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
import hashlib
import numpy as np
from phasepipe.physics import kernels

draw, digest = np.random.default_rng(0), hashlib.sha256()
sizes = [1, 2, 3, 15, 16, 31, 33, 64, 100, 257, 520, 1100]
for dtype in (np.float32, np.float64):
    for depth in sizes:
        for width in sizes:
            across = kernels.columns(np.dtype(dtype))
            panels = np.zeros((-(-width // across), depth, across), dtype)
            kernels.pack(draw.standard_normal((depth, width)).astype(dtype), panels)
            rows, out = draw.standard_normal((21, depth)).astype(dtype), np.empty((21, width), dtype)
            tail = np.full((21, across), np.nan, dtype)  # what it held does not matter
            kernels.multiply(rows, depth, panels, out, tail)
            digest.update(out.tobytes())
            alone = np.empty((1, width), dtype)
            for place in (0, 7, 8, 13, 19, 20):
                kernels.multiply(rows[place : place + 1], depth, panels, alone, tail)
                assert (out[place] == alone[0]).all(), (depth, width, place)
print(digest.hexdigest())
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
    environment = os.environ | {
        "OPENBLAS_CORETYPE": kernels,
        "OPENBLAS_NUM_THREADS": str(threads),
        "NUMBA_CPU_NAME": COMPILED_FOR[kernels],
        "NUMBA_CPU_FEATURES": "+avx512f" if kernels == "SkylakeX" else "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(Path(pp.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_row_has_the_same_product_in_any_place_beside_any_others_on_any_processor():
    assert len({run_with(kernels, PRODUCTS) for kernels in NEEDS}) == 1


@pytest.mark.parametrize("kernels", NEEDS)
def test_a_run_alone_has_the_bits_it_has_among_others_and_with_more_records(kernels):
    run_with(kernels, RUNS_ALONE_AND_TOGETHER)


@pytest.mark.parametrize("kernels", NEEDS)
def test_the_number_of_blas_threads_does_not_change_a_run(kernels):
    assert run_with(kernels, FATES_IN_HEX, threads=1) == run_with(kernels, FATES_IN_HEX, threads=2)


RUNS_IN_HEX = """
import dataclasses
import hashlib
import numpy as np
from phasepipe.physics.batch import run_batch
from phasepipe.physics.protocol import Flow, RunProtocol
from phasepipe.physics.record_times import record_times
from phasepipe.simulation.prediction import LabelPredictor
import phasepipe as pp

loss, digest = pp.NormalisedQuartic(0.01), hashlib.sha256()
for N, dtype in ((64, "float32"), (100, "float64"), (300, "float32")):
    problem = pp.Problem.draw(N, 2.5, seed=1)
    labels = np.random.default_rng(N).standard_normal(problem.M)  # those of the problem come from a BLAS
    problem = dataclasses.replace(problem, labels=labels)
    starts = pp.starts.random(problem, 9, 1)
    protocol = RunProtocol(Flow(), record_times(3, 8), dtype=dtype, predictor=LabelPredictor(loss, N))
    runs = run_batch([problem], loss, [starts], protocol)
    for name in sorted(runs.data_vars):
        digest.update(runs[name].values.tobytes())
print(digest.hexdigest())
"""


def test_a_run_has_the_same_bits_on_any_processor():
    assert len({run_with(kernels, RUNS_IN_HEX) for kernels in NEEDS}) == 1


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
