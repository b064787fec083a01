from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasepipe.figures.bands import Band
from phasepipe.figures.loss import loss_figure, loss_table
from phasepipe.physics.outcomes import Outcome


def runs_with(fates: list[Outcome], losses: list[list[float]]) -> xr.Dataset:
    return xr.Dataset(
        {
            "outcome": (("instance", "start"), np.array([fates], dtype=np.uint8)),
            "loss": (("instance", "start", "time"), np.array([losses])),
        },
        coords={"time": [0.0, 1.0, 10.0]},
    )


def test_only_stuck_runs_count_and_the_trapped_keep_their_last_loss() -> None:
    fates = [Outcome.TRAPPED, Outcome.UNDECIDED, Outcome.RECOVERED, Outcome.DIVERGED]
    losses = [[4.0, 1.0, np.nan], [6.0, 3.0, 2.0], [5.0, 0.0, np.nan], [5.0, 9e9, np.nan]]
    median = loss_table(runs_with(fates, losses)).sel(quantile=0.5)
    np.testing.assert_allclose(median, [5.0, 2.0, 1.5])


def test_without_stuck_runs_there_is_nothing_to_show() -> None:
    loss = loss_table(runs_with([Outcome.RECOVERED], [[1.0, 0.5, np.nan]]))
    assert loss.shape == (3, 3)
    assert loss.isnull().all()


@pytest.mark.parametrize(
    ("marginal", "one_rsb"), [(None, None), (Band(0.22, 0.27), 0.2), (Band(np.nan, 0.27), np.nan)]
)
def test_figure_draws_each_size_the_band_and_the_energy_of_the_literature(
    marginal: Band | None, one_rsb: float | None
) -> None:
    loss = loss_table(runs_with([Outcome.TRAPPED], [[4.0, 1.0, 0.5]]))
    axes = loss_figure({64: loss, 128: loss}, "title", marginal, one_rsb).axes[0]
    known = marginal is not None and marginal.known
    assert len(axes.lines) == 2 + known
    assert len(axes.patches) == known
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1.0, 10.0])
    if known:
        assert set(axes.lines[-1].get_ydata()) == {one_rsb}
        box = axes.patches[0].get_bbox()
        assert (box.y0, box.y1) == pytest.approx((0.22, 0.27))
