"""The figures of the Hessian show the data that they are given."""

import numpy as np
import pytest
import xarray as xr

from phasepipe.figures import hessian as figures
from phasepipe.figures.hessian_tables import window_lengths_table
from phasepipe.figures.windows import window_lengths_figure


def render(figure) -> None:
    figure.savefig("/dev/null", format="png", dpi=30)


def curves(axis) -> dict:
    return {line.get_label(): line for line in axis.get_lines()}


@pytest.fixture
def runs() -> xr.Dataset:
    rng = np.random.default_rng(0)
    time = np.concatenate([[0], np.geomspace(0.1, 50, 9)])
    edge = -5 * np.exp(-time) + 0.1 * rng.standard_normal((12, 10))
    outlier = np.where(time < 1, edge - 0.2, np.nan)
    recovered = np.arange(12) < 5
    q = np.where(time < 2, 0.3, 0.02) + 0.01 * rng.random((12, 10))
    q[:5, 8:] = np.nan  # recovered runs end early
    return xr.Dataset(
        {
            "eigenvalues": (
                ("run", "time", "eigenvalue"),
                np.stack([np.fmin(edge, outlier), edge + 0.1], axis=2),
            ),
            "edge": (("run", "time"), edge),
            "outlier": (("run", "time"), outlier),
            "signal_overlap": (("run", "time"), q),
            "outlier_overlap": (("run", "time"), np.where(time < 1, 0.25, np.nan) * np.ones((12, 1))),
            "recovered": ("run", recovered),
            "t_bbp": ("run", np.where(recovered, np.inf, 1.0)),
        },
        coords={"time": time},
    )


def test_lowest_eigenvalues_plots_medians_and_distances_to_the_edge(runs):
    figure = figures.lowest_eigenvalues_figure(runs)
    render(figure)
    top, bottom = (curves(axis) for axis in figure.axes)
    np.testing.assert_allclose(top["edge predicted"].get_ydata(), np.median(runs.edge, axis=0))
    gaps = np.median(runs.eigenvalues[..., 1] - runs.edge, axis=0)
    np.testing.assert_allclose(bottom["λ₁ measured"].get_ydata(), gaps)
    shown = np.isfinite(np.asarray(top["outlier predicted"].get_ydata(), dtype=float))
    np.testing.assert_array_equal(shown, runs["time"] < 1)
    assert top["t_BBP (median)"].get_xdata()[0] == 1.0


def test_signal_overlap_keeps_fates_apart_and_counts_no_outlier_as_zero(runs):
    figure = figures.signal_overlap_figure(runs)
    render(figure)
    recovered, other = figure.axes
    assert (recovered.get_title(), other.get_title()) == ("recovered: 5 runs", "not recovered: 7 runs")
    measured = np.asarray(curves(recovered)["q₀ measured"].get_ydata(), dtype=float)
    np.testing.assert_allclose(measured[:8], runs.signal_overlap[:5, :8].mean("run"))
    assert np.isnan(measured[8:]).all()
    predicted = np.asarray(curves(other)["q predicted"].get_ydata(), dtype=float)
    np.testing.assert_allclose(predicted, np.where(runs["time"] < 1, 0.25, 0.0))
    assert "t_BBP (median)" not in curves(recovered)  # the outlier lasts beyond the last record
    render(figures.signal_overlap_figure(runs.isel(run=slice(0, 5))))


def test_spectra_normalises_the_histogram_over_the_whole_spectrum():
    rng = np.random.default_rng(1)
    values = rng.uniform(0, 1, (2, 3, 4000))
    grid = np.broadcast_to(np.linspace(-0.5, 1.5, 200), (2, 3, 200))
    panels = xr.Dataset(
        {
            "eigenvalues": (("alpha", "moment", "mode"), values),
            "grid": (("alpha", "moment", "grid"), grid),
            "density": (("alpha", "moment", "grid"), ((grid > 0) & (grid < 1)).astype(float)),
            "edge": (("alpha", "moment"), np.zeros((2, 3))),
            "outlier": (("alpha", "moment"), np.array([[-0.2, np.nan, np.nan]] * 2)),
            "time": (("alpha", "moment"), np.tile([0.0, 1.0, 50.0], (2, 1))),
        },
        coords={"alpha": [1.0, 3.0], "moment": ["start", "near t_BBP", "end"]},
    )
    figure = figures.spectra_figure(panels, share_shown=0.5)
    render(figure)
    assert len(figure.axes) == 6
    heights, edges, _ = figure.axes[0].patches[0].get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(0.5, abs=0.01)
    assert edges[0] < -0.2


def test_window_lengths_and_phi_draw_every_size():
    t_bbp = np.array([[[1.0, 2.0, np.inf, np.nan], [4.0, 4.0, np.inf, np.inf], [np.nan] * 4]] * 2)
    coords = {"N": [128, 256], "alpha": [1.0, 2.0, 3.0]}
    # at N = 256 there are two runs at the first alpha and none at the last
    t_bbp[1, 0, 2:] = np.nan
    counts = [[4, 4, 4], [2, 4, 0]]
    windows = {"t_bbp": (("N", "alpha", "run"), t_bbp), "runs": (("N", "alpha"), counts)}
    figure = window_lengths_figure(xr.Dataset(windows, coords=coords))
    render(figure)
    numbers = window_lengths_table(xr.Dataset(windows, coords=coords))
    assert numbers["alpha"].tolist() == [1, 2, 3, 1, 2]
    assert numbers["never"].tolist() == [0.25, 0, 1, 0, 0]
    assert numbers["median"].tolist()[3:] == [1.5, 4]
    never, until_end = figure.axes[1].get_lines()[:2]
    np.testing.assert_allclose(never.get_ydata(), [0.25, 0, 1])
    np.testing.assert_allclose(until_end.get_ydata(), [0.25, 0.5, 0])
    phi = np.array([[0.2, 0.5, 0.9], [0.1, 0.6, 1.0]])
    dims = ("N", "alpha")
    shares = xr.Dataset(
        {"phi": (dims, phi), "phi_low": (dims, phi - 0.1), "phi_high": (dims, phi + 0.1)}, coords=coords
    )
    figure = figures.most_informative_figure(shares, alpha_init=1.1349)
    render(figure)
    assert list(curves(figure.axes[0])) == ["N = 128", "N = 256", "α_init = 1.135 (N → ∞)"]


def test_missing_variable_is_named(runs):
    with pytest.raises(ValueError, match="the dataset has no variable outlier; it contains"):
        figures.lowest_eigenvalues_figure(runs.drop_vars("outlier"))
