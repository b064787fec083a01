"""What a notebook shows of a sweep, and that nothing from its folder becomes markup."""

import json
import shutil

import xarray as xr

import phasepipe as pp
from phasepipe.store.integrity import mark_pending
from phasepipe.store.publishing import DIGEST, metadata_digest

HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;"


def words(html):
    return " ".join(html.split())


def test_a_notebook_shows_what_the_sweep_is_how_much_is_computed_and_what_to_ask(finished):
    tree = pp.open_sweep(finished[1].root)
    shown = words(tree._repr_html_())
    assert "<strong>Sweep small</strong>: normalised quartic loss, a = 1; gradient flow to t = 20" in shown
    assert "per instance 4 random starts and 2 warm starts, m0 = 0.5" in shown
    assert "All 216 runs are computed." in shown
    assert '<progress value="108" max="108">' in shown
    assert "marginal minima unstable from" in shown
    for question in ("plot.success(", "plot.trajectory(", "plot.spectrum(", "rerun("):
        assert f"tree.phase.{question}" in shown
    assert "/runs" in shown.partition("</progress>")[2]  # xarray's own display follows
    assert words(tree.phase._repr_html_()) in shown


def test_it_is_a_plain_tree_for_everything_else(finished):
    tree = pp.open_sweep(finished[1].root)
    assert isinstance(tree, xr.DataTree)
    assert type(tree["runs/N16"]) is xr.DataTree
    assert "Sweep small" not in tree["runs/N16"]._repr_html_()
    assert repr(tree).startswith("<xarray.DataTree 'small'>")
    with xr.set_options(display_style="text"):
        assert tree._repr_html_().startswith("<pre>")


def test_every_display_counts_again(folder, tmp_path):
    copy = shutil.copytree(folder.root, tmp_path / folder.root.name)
    tree = pp.open_sweep(copy)
    assert "All 48 runs are computed." in tree._repr_html_()
    mark_pending(copy / "runs/N16.zarr", [(0, 0, 0)])
    assert "44 of 48 runs are computed (92%)" in words(tree._repr_html_())
    shutil.rmtree(copy / "runs/N12.zarr")
    assert "20 of 48 runs are computed" in words(pp.open_sweep(copy)._repr_html_())


def test_a_reduced_sweep_offers_no_single_runs(reduced):
    shown = words(pp.open_sweep(reduced[2].root)._repr_html_())
    assert "216 runs are counted, single runs are not kept" in shown
    assert "108 of 108" in shown
    assert "tree.phase.plot.success(" in shown
    assert "rerun(" not in shown


def test_alphas_that_round_to_the_same_measurements_count_once():
    shown = pp.open_sweep("results/reference/scaling-a0.01")._repr_html_()
    assert "3840 of 3840" in shown
    assert "2560 of 2560" in shown


def test_nothing_from_the_folder_becomes_markup(folder, tmp_path):
    copy = shutil.copytree(folder.root, tmp_path / HOSTILE.replace("/", ""))
    store = copy / "runs/N16.zarr/zarr.json"
    content = json.loads(store.read_text())
    content["attributes"]["asked"]["loss"] = {"kind": "custom", "path": HOSTILE}
    content["attributes"]["asked_at"] = "9999"
    content["attributes"][DIGEST] = metadata_digest(content)
    store.write_text(json.dumps(content))
    tree = pp.open_sweep(copy)
    for shown in (tree._repr_html_(), tree.phase._repr_html_()):
        assert "loss &lt;img src=x onerror=alert(1)&gt;&#34;&#39;&amp;amp;" in shown
        assert "<img" not in shown


def test_a_folder_that_cannot_be_read_any_more_says_so(folder, tmp_path):
    copy = shutil.copytree(folder.root, tmp_path / "<b>gone")
    tree = pp.open_sweep(copy)
    shutil.rmtree(copy)
    shown = tree.phase._repr_html_()
    assert "<p>" in shown
    assert "<b>" not in shown
