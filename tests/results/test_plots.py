"""tree.phase.plot: plots show what the tables say, in given or new Axes, of whole and reduced sweeps."""

import doctest
import importlib
import shutil

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import phasepipe as pp
from phasepipe.figures.bands import UNSTABLE
from phasepipe.figures.success import success_figure
from phasepipe.results import QueryError
from phasepipe.stages.success_figures import success_title, thresholds
from phasepipe.store.integrity import mark_pending


@pytest.fixture(autouse=True)
def without_a_screen():
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def whole(finished):
    return pp.open_sweep(finished[1].root)


@pytest.fixture(scope="module")
def kept(reduced):
    return pp.open_sweep(reduced[2].root)


def curves(axes):
    """Points of the error bars by label."""
    return {bars.get_label(): bars.lines[0].get_xydata() for bars in axes.containers}


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_the_examples_of_the_docstrings_run(folder):
    found = importlib.import_module("phasepipe.results.plots")
    failed, tried = doctest.testmod(found, extraglobs={"folder": folder.root, "open_sweep": pp.open_sweep})
    assert tried
    assert not failed


CALLS = {
    "success": {"T": 10, "start": "warm"},
    "alpha_50": {},
    "limit": {},
    "collapse": {},
    "windows": {},
    "trajectory": {"N": 24, "alpha": 2.5, "instance": 0, "start": 0, "show": "eigenvalues"},
    "spectrum": {"N": 24, "alpha": 2.5},
}


@pytest.mark.parametrize("name", CALLS)
def test_every_plot_draws_into_given_axes_and_otherwise_into_a_figure_of_its_own(whole, name):
    plot = getattr(whole.phase.plot, name)
    if name in ("limit", "collapse"):  # a tiny sweep does not always allow them
        whole = pp.open_sweep("results/reference/scaling-a1")
        plot = getattr(whole.phase.plot, name)
    figure, (left, right) = plt.subplots(1, 2)
    assert plot(**CALLS[name], ax=right) is right
    assert not left.has_data()
    assert right.has_data()
    assert right.get_xlabel()
    assert right.get_ylabel()
    alone = plot(**CALLS[name])
    assert isinstance(alone, Axes)
    assert alone.figure is not figure
    assert alone.figure.number in plt.get_fignums()
    # the user's own Axes keep the user's style, new ones take that of the report
    assert right.xaxis.label.get_size() == 10
    assert alone.xaxis.label.get_size() == 8
    assert mpl.rcParams["font.size"] == 10


def test_a_plot_of_success_is_the_figure_of_the_report(whole, finished):
    sweep, _ = finished
    table = whole["success"].to_dataset().isel(budget=-1, start_group=0).load()
    group_title = success_title(sweep, pp_group(sweep), sweep.t_max)
    drawn = success_figure(table, group_title, thresholds(whole["theory"].to_dataset()))
    plot = whole.phase.plot.success()
    np.testing.assert_array_equal(pixels(plot.figure), pixels_like(drawn, plot.figure))


def pp_group(sweep):
    from phasepipe.specification.start_groups import start_groups

    return start_groups(sweep)[0]


def pixels_like(figure, other):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    assert figure.get_size_inches().tolist() == other.get_size_inches().tolist()
    return pixels(figure)


def test_curves_and_intervals_are_those_of_the_query(whole):
    table = whole.phase.success(T=10, N=24)
    (points,) = curves(whole.phase.plot.success(T=10, N=24)).values()
    np.testing.assert_allclose(points, np.column_stack([table["alpha"], table["p"].squeeze()]))
    axes = whole.phase.plot.success(T=10)
    assert list(curves(axes)) == ["N = 16", "N = 24"]
    assert "recovered by t = 10, " in axes.get_title("left")


def test_a_node_of_one_size_draws_that_size(whole):
    assert list(curves(whole["runs/N24"].phase.plot.success())) == ["N = 24"]


@pytest.mark.parametrize("name", ["success", "alpha_50", "windows"])
def test_a_reduced_sweep_draws_what_the_whole_one_does(whole, kept, name):
    one, other = (getattr(tree.phase.plot, name)().figure for tree in (whole, kept))
    np.testing.assert_array_equal(pixels(one), pixels(other))


@pytest.mark.parametrize("asked", [{"T": 3}, {"T": 1.7}, {"level": 0.9}])
def test_a_reduced_sweep_answers_at_any_budget_and_level(whole, kept, asked):
    for name, values in whole.phase.success(start="warm", **asked).data_vars.items():
        np.testing.assert_array_equal(kept.phase.success(start="warm", **asked)[name], values)


def test_a_reduced_sweep_has_the_same_counts_and_names_its_source(whole, kept):
    assert whole.phase.counts().equals(kept.phase.counts())
    assert whole["runs/N16"].attrs["specification_hash"] in kept.phase.cite()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda phase: phase.plot.success(N=17), "N = 17 is not in the sweep; the nearest is N = 16"),
        (lambda phase: phase.plot.trajectory(16, 2.5, 0, 0), "is reduced and holds no single runs; open the"),
        (lambda phase: phase.plot.spectrum(16, 2.5), "holds no spectra; open the folder that it was reduced"),
        (lambda phase: phase.runs(16, 2.5), "is reduced and holds no single runs"),
    ],
)
def test_a_reduced_sweep_says_what_is_missing_and_what_would_give_it(kept, ask, words):
    with pytest.raises(QueryError, match=words) as caught:
        ask(kept.phase)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda plot: plot.success(ax=plt.subplots(1, 2)[1]), "ax is ndarray, not matplotlib Axes"),
        (lambda plot: plot.success(T=1000), "T = 1000 lies outside"),
        (lambda plot: plot.success(start="cold"), "matches no kind of start"),
        (lambda plot: plot.windows(N=[24, 25]), "N = 25 is not in the sweep; the nearest is N = 24"),
        (
            lambda plot: plot.trajectory(24, 2.5, 0, 0, show="mu"),
            "show = 'mu' is unknown; choose one of over",
        ),
        (lambda plot: plot.trajectory(24, 2.5, 0, 99), "start = 99 is not in the sweep"),
        (lambda plot: plot.spectrum(24, 2.5, t=0.5), "t = 0.5 is not a snapshot; the nearest is t = "),
        (lambda plot: plot.spectrum(24, 2.5, instance=5), "has no snapshots; .* instances 0 to 2"),
    ],
)
def test_a_mistake_is_one_sentence_and_opens_no_figure(whole, ask, words):
    before = len(plt.get_fignums())
    with pytest.raises(QueryError, match=words) as caught:
        ask(whole.phase.plot)
    assert "\n" not in str(caught.value)
    assert len(plt.get_fignums()) - before <= ("ndarray" in words)  # that of the test


def test_without_theory_there_are_curves_and_no_lines(tree):
    assert "theory" not in tree.children
    axes = tree.phase.plot.success()
    assert len(axes.containers) == 2
    assert not axes.texts
    assert tree.phase.plot.trajectory(16, 4, 0, 0, show="loss").has_data()
    with pytest.raises(QueryError, match="holds no spectra; give it the key snapshots"):
        tree.phase.plot.spectrum(16, 4)


def test_one_size_has_an_alpha_50_and_no_limit(grown):
    plot = pp.open_sweep(grown.root).phase.plot
    assert plot.alpha_50().has_data()
    assert plot.success(start="warm").has_data()
    with pytest.raises(QueryError, match=r"known at [01] size"):
        plot.limit()
    with pytest.raises(QueryError, match="a collapse needs at least 2"):
        plot.collapse()


def test_the_title_counts_what_is_pending(folder, tmp_path):
    copy = shutil.copytree(folder.root, tmp_path / folder.root.name)
    assert "pending" not in pp.open_sweep(copy).phase.plot.success().get_title("left")
    mark_pending(copy / "runs/N16.zarr", [(0, 0, 0)])
    assert pp.open_sweep(copy).phase.plot.success().get_title("left").endswith("; 4 runs are pending")


def test_the_thresholds_of_the_theory_are_drawn(whole):
    names = [text.get_text() for text in whole.phase.plot.alpha_50().get_legend().get_texts()]
    assert names[0].startswith(UNSTABLE)
    assert len(names) == 3
    words = [line.get_label() for line in whole.phase.plot.trajectory(24, 2.5, 0, 0, "loss").get_lines()]
    assert any("1RSB" in word for word in words)


def test_a_trajectory_shows_the_stored_records(whole):
    run = whole.phase.trajectory(24, 2.5, 1, 2)
    overlap = whole.phase.plot.trajectory(24, 2.5, 1, 2).get_lines()[0]
    np.testing.assert_array_equal(overlap.get_ydata(), abs(run["overlap"]))
    lines = whole.phase.plot.trajectory(24, 2.5, 0, 1, show="eigenvalues").get_lines()
    measured = next(line for line in lines if line.get_label() == "λ₀ measured")
    stored = whole["spectra/N24"].to_dataset().sel(alpha=2.5, instance=0).isel(start=1, eigenvalue=0)
    np.testing.assert_array_equal(measured.get_ydata(), stored["eigenvalues"])


def test_windows_are_quartiles_over_the_runs_of_one_kind_of_start(whole):
    row = whole.phase.windows(N=24).iloc[0]
    runs = whole["runs/N24"].to_dataset().isel(alpha=0, start=slice(4)).compute()  # the random ones
    ends = runs["t_bbp"].values
    assert row["runs"] == ends.size == 24
    assert row["median"] == np.median(ends[np.isfinite(ends)])
    assert row["lasting"] == np.isinf(ends).mean()
