"""The prediction from labels against diagonalisation along the descent, N = 1024, a = 1, alpha = 3."""

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.physics.outcomes import Outcome

LOSS = pp.NormalisedQuartic(a=1.0)


def along_descent(instance, N=1024, alpha=3.0):
    """Measured and predicted lowest eigenvalue and overlap of one run at some records; window; fate."""
    problem = pp.Problem.draw(N=N, alpha=alpha, seed=21, instance=instance)
    start = pp.starts.random(problem, 1, seed=21)
    runs = pp.run_flow(problem, LOSS, start, t_max=12.0, records_per_decade=4, snapshots=True)
    points = runs.snapshot[0].values
    alive = np.isfinite(points).all(axis=1)
    w, times = points[alive].astype(float), runs.time.values[alive]
    m = w @ problem.signal / N
    predicted = pp.theory.predict(problem.labels, w @ problem.sensing.T / np.sqrt(N), m, LOSS, N)
    window = float(pp.theory.last_crossing_time(times, predicted.bbp_margin))
    kept = (times == 0) | ((times > 0.2) & (times < window / 2)) | (times > 2 * window)
    measured = pp.spectrum(problem, LOSS, w[kept], k=1)
    table = {
        "time": times[kept],
        "lowest": measured.eigenvalues.values[:, 0],
        "overlap": measured.signal_overlap.values[:, 0],
        "outlier": predicted.outlier[kept],
        "outlier_overlap": predicted.outlier_overlap[kept],
    }
    return table, window, int(runs.outcome[0])


@pytest.mark.slow
def test_outlier_is_predicted_until_it_is_lost_and_then_nothing_points_to_the_signal():
    at_start, during, after = [], [], []
    for instance in range(12):
        table, window, fate = along_descent(instance)
        rows = np.column_stack(list(table.values()))
        at_start.append(rows[table["time"] == 0])
        during.append(rows[(table["time"] > 0) & (table["time"] < window / 2)])
        if fate != Outcome.RECOVERED:
            after.append(rows[table["time"] > 2 * window])
    start, early, late = (np.concatenate(part) for part in (at_start, during, after))
    assert len(early) >= 10
    assert len(late) >= 10
    assert start[:, 3].mean() == pytest.approx(start[:, 1].mean(), rel=0.02)
    assert start[:, 4].mean() == pytest.approx(start[:, 2].mean(), abs=0.04)
    for time in np.unique(early[:, 0]):
        same = early[early[:, 0] == time]
        if len(same) >= 3:
            assert same[:, 3].mean() == pytest.approx(same[:, 1].mean(), rel=0.04)
            assert same[:, 4].mean() == pytest.approx(same[:, 2].mean(), abs=0.06)
    assert late[:, 2].mean() < 0.05
