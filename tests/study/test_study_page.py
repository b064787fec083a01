"""The page of the study, written from small real sweeps and from artificial sweeps with known answers."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from phasepipe.analysis.text import with_interval
from study.__main__ import app
from study.claims import forms, shift, universality
from study.claims.finding import Verdict
from study.claims.recovery import common_counts, limits, over_time
from study.literature import STATED
from study.page import CLAIMS, StudyError, _cost, filled, write_study
from tests.study.planted import planted_counts, planted_times

PAGE = Path(__file__).parents[2] / "docs" / "evidence" / "study.md"
STANDING_FOR = (
    "initial-a1",
    "window-a1",
    "trap-a1",
    "scaling-a1",
    "starts-a1",
    "ensemble-gaussian",
    "noise-0.1",
)


@pytest.fixture(scope="session")
def page(reduced, tmp_path_factory):
    """Folder of the page, written from copies of one small real sweep under several names of the study."""
    place = tmp_path_factory.mktemp("study")
    for name in STANDING_FOR:
        shutil.copytree(reduced[2].root, place / "reference" / name)
    (place / "docs").mkdir()
    shutil.copy(PAGE, place / "docs")
    result = CliRunner().invoke(app, [str(place / "reference"), "--to", str(place / "docs")])
    assert result.exit_code == 0, result.output
    return place / "docs"


def between(text, name):
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- end of {name} -->")[0]


def test_every_claim_has_its_figure_numbers_and_verdict(page):
    text = (page / "study.md").read_text()
    table = between(text, "verdicts").splitlines()
    assert len(table) == 2 + len(CLAIMS)
    for claim, line in zip(CLAIMS, table[2:], strict=True):
        section = between(text, f"claim {claim.number}")
        if set(claim.sweeps) & set(STANDING_FOR) and claim.name not in ("control", "regulariser"):
            assert any(str(verdict) in line for verdict in list(Verdict)[:3])
            assert "<summary>Criteria of these verdicts</summary>" in section
            assert section.count("<details>") == section.count("</details>") >= 2
            assert "| --- |" in section
            with Image.open(page / "images" / "study" / f"{claim.name}.png") as image:
                assert min(image.size) > 400
        else:
            assert "not run yet" in line
            assert section.startswith("**Not run yet.** Missing: ")
    assert not re.search(r"\bnan\b", text)


def test_what_the_seed_paper_states_stands_beside_what_was_run(page):
    text = (page / "study.md").read_text()
    stated = between(text, "literature").splitlines()[2:]
    assert len(stated) == len(STATED)
    for row, line in zip(STATED, stated, strict=True):
        assert row.statement in line
        assert all(f"[{number}](#" in line for number in row.claims)
    protocol = between(text, "protocol")
    assert "a = 1" in protocol
    assert "not checked" in protocol  # what only the text of the paper says


def test_headings_are_where_the_tables_point_to(page):
    text = (page / "study.md").read_text()
    anchors = re.findall(r"\]\(#([^)]+)\)", text)
    headings = [
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("## ")
    ]
    assert len(set(anchors)) == len(CLAIMS)
    assert set(anchors) <= set(headings)


def test_the_sentence_names_both_thresholds(page):
    sentence = between((page / "study.md").read_text(), "sentence")
    assert "alpha_init = 1.135" in sentence
    assert "in 1RSB, an approximation, alpha_threshold = 7.094" in sentence
    assert "at N = 24" in sentence


def test_a_section_is_filled_again_and_again_and_nothing_else_is_touched():
    text = "before\n<!-- claim 1 -->\nold\n<!-- end of claim 1 -->\nafter"
    once = filled(text, "claim 1", "new\n")
    assert once == text.replace("old", "new")
    assert filled(once, "claim 1", "new") == once


def test_mistakes_are_one_sentence(page, tmp_path):
    with pytest.raises(StudyError, match="contains no reduced sweeps; make them with phasepipe reduce"):
        write_study(tmp_path, page)
    with pytest.raises(StudyError, match=r"study\.md does not exist; pass the folder"):
        write_study(page.parent / "reference", tmp_path)
    with pytest.raises(StudyError, match="lacks the markers <!-- claim 1 -->"):
        filled("no markers", "claim 1", "numbers")


def planted_study(midpoints, **times):
    """A reduced scaling sweep with these values of alpha_50, and without fates.

    With ``times``, those of :func:`tests.study.planted.planted_times`, it has recovery times.
    """
    empty = xr.Dataset(
        {
            "auc": (("N", "alpha", "quantity"), np.full((len(midpoints), 1, 2), np.nan)),
            "share_recovered": (("N", "alpha"), np.full((len(midpoints), 1), np.nan)),
        },
        {"N": list(midpoints), "alpha": [2.0], "quantity": ["initial_overlap", "overlap"]},
    )
    theory = xr.Dataset({"alpha_init": 2.8508, "alpha_threshold": 4.436})
    tables = {"counts": planted_counts(midpoints), "theory": theory, "fate": empty}
    never = empty["share_recovered"].expand_dims(start_group=1, fate=["all"])
    tables |= {"window": xr.Dataset({"never": never})}
    tables |= {"decision": empty.expand_dims(start_group=1, time=[0.0])}
    tables |= planted_times(tables["counts"], **times) if times else {}
    return {"scaling-a0.01": tables}


SIZES = np.array([64.0, 128, 256, 512, 1024, 2048])


@pytest.mark.parametrize(
    ("limit", "amplitude", "omega", "precise", "expected"),
    [
        (4.436, 2.0, 0.1, 1, Verdict.CONFIRMED),
        (4.436, 2.0, 0.9, 1, Verdict.NOT_CONFIRMED),
        (2.41, 0.22, 1.0, 1, Verdict.NOT_CONFIRMED),  # with alpha_threshold imposed omega is tiny
        (3.0, 0.8, 0.2, 10, Verdict.NOT_CONFIRMED),  # slow, but to another limit
        (2.5, 0.3, 0.5, 1, Verdict.UNDECIDED),
    ],
)
def test_a_slow_shift_to_the_threshold_is_told_from_a_fast_one_and_from_other_limits(
    limit, amplitude, omega, precise, expected
):
    """The errors are those of the study at a = 0.01."""
    error = np.array([0.017, 0.016, 0.018, 0.020, 0.026, 0.067]) / precise
    rows = pd.DataFrame(
        {"N": SIZES, "alpha_50": limit - amplitude * (SIZES / 64) ** -omega, "alpha_50_error": error}
    )
    part = forms.slow("a", forms.extrapolated(rows, 4.436, 600))
    assert part.verdict is expected
    assert "alpha_threshold against a free limit: p = " in part.found


def shifted(values, error):
    rows = pd.DataFrame({"N": SIZES, "alpha_50": values, "alpha_50_error": error + 0 * SIZES})
    return forms.extrapolated(rows, 4.436, 600)


def test_what_it_takes_to_tell_the_forms_apart_is_said():
    far = 4.436 - 20 / (np.log(SIZES / 64) + 10)  # N0 far below the sizes: nearly a power law
    close = shifted(far, 0.02)
    assert forms.distinction(close) < 1
    assert "times as many runs" in forms.form("a", close).found
    # a hundredth of the error is ten thousand times as many runs
    assert forms.distinction(shifted(far, 0.0002)) == pytest.approx(1e4 * forms.distinction(close), rel=0.02)
    near = shifted(4.436 - 9.0 / np.log(SIZES), 0.005)
    assert forms.distinction(near) > forms.APART
    assert "times as many runs" not in forms.form("a", near).found


def test_a_form_without_a_limit_says_so():
    table = forms.form_table("a", shifted(2.2 + 0.05 * np.log(SIZES / 64), 0.02))
    assert table["limit"].tolist().count("no limit") == 1
    assert "[∞, ∞]" not in " ".join(table["limit"])
    assert "of at least" in forms.form("a", shifted(2.2 + 0.05 * np.log(SIZES / 64), 0.02)).found


@pytest.mark.parametrize(("moved", "fits"), [(0.0, True), (0.3, False)])
def test_the_prediction_without_a_fit_is_one_of_the_forms(moved, fits):
    known = forms.predictions(0.01)
    known = known[np.isclose(known["budget"], 100)].head(5)
    times = pd.DataFrame(
        {"N": known["N"], "budget": 100.0, "alpha_50": known["alpha_50"] + moved, "alpha_50_error": 0.02}
    )
    (row,) = forms.predicted_row("a = 0.01", 0.01, times).to_dict("records")
    assert row["χ²/dof"].endswith("/5")
    assert (float(row["p"]) > 0.05) is fits
    assert forms.predicted_row("a = 0.01", 0.01, times.head(1)).empty


@pytest.mark.parametrize(
    ("midpoint", "expected"),
    [(3.0, Verdict.CONFIRMED), (4.25, Verdict.NOT_CONFIRMED), (3.99, Verdict.UNDECIDED)],
)
def test_well_below_is_below_nine_tenths(midpoint, expected):
    latest = limits(over_time(planted_study({64: midpoint, 128: midpoint})["scaling-a0.01"]))
    assert shift.below("a", latest, 4.436, 2.85).verdict is expected


def test_a_logarithmic_shift_is_recognised():
    midpoints = {N: 4.436 - 9.0 / np.log(N) for N in (64, 128, 256, 512, 1024)}
    study = planted_study(midpoints)
    study["scaling-a0.01"]["counts"] = planted_counts(midpoints, runs=2000)
    form = shift.assess(study).parts[2]
    assert form.verdict is Verdict.CONFIRMED


@pytest.mark.parametrize("trapped", [True, False])
def test_the_shift_is_that_of_unlimited_time(trapped):
    """A fifth of the recoveries come after t = 100, and some are still undecided at t_max."""
    midpoints = {64: 2.2, 128: 2.3, 256: 2.4}
    study = planted_study(midpoints, late=0.2, trapped=trapped)
    times = over_time(study["scaling-a0.01"]).set_index(["N", "budget"])
    for N, planted in midpoints.items():
        early, late, limit = (times.loc[(N, budget)] for budget in (100.0, 1000.0, np.inf))
        assert early["alpha_50"] > late["alpha_50"] > limit["alpha_50"]
        assert early["alpha_50_lower"] > planted
        assert abs(limit["alpha_50"] - planted) < 3 * limit["alpha_50_error"] < 0.15
    last = limits(over_time(study["scaling-a0.01"]))
    assert np.isinf(last["budget"]).all()
    finding = shift.assess(study)
    assert f"{last['alpha_50'].iloc[-1]:.3f}" in finding.parts[0].found
    printed = next(iter(finding.tables.values()))
    assert [name for name in printed if name.startswith("t ")] == ["t = 10", "t = 100", "t = 1000", "t → ∞"]
    sentence = shift.quotable(study)
    assert "in unlimited time at alpha_50 = " in sentence
    assert all(f"{alpha:.3f}" in sentence for alpha in last["alpha_50"])
    assert printed["width, t → ∞"].str.contains("[", regex=False).all()
    every = printed["if all undecided runs recover"]
    assert f"or {every.iloc[-1]} there if all undecided runs recover" in sentence
    if trapped:
        assert (every.str.split(" ").str[0].astype(float) < last["alpha_50"]).all()
    else:  # all runs that are left over
        assert every.str.startswith("< ").all()


def test_sweeps_of_different_length_are_compared_at_the_shorter_time():
    long = planted_times(planted_counts({128: 2.5}), late=0.3)
    short = planted_times(planted_counts({128: 2.5}), late=0.3, t_max=100.0)
    short["counts"] = short["counts"].assign_attrs(long["counts"].attrs | {"asked": {"t_max": 100.0}})
    time, counts = common_counts({"long": long, "short": short})
    assert time == 100
    assert (long["counts"]["recovered"] > counts["long"]["recovered"]).any()
    for name in ("recovered", "runs", "undecided"):
        np.testing.assert_array_equal(counts["long"][name], short["counts"][name])
    del long["recovery"]
    assert set(common_counts({"long": long, "short": short})[1]) == {"short"}


def test_no_advantage_is_noticed():
    assert (
        shift.assess(planted_study({64: 4.5, 128: 4.45, 256: 4.45})).parts[0].verdict is Verdict.NOT_CONFIRMED
    )


@pytest.mark.parametrize(
    ("moved", "runs", "expected"),
    [(0.0, 6000, Verdict.CONFIRMED), (0.6, 400, Verdict.NOT_CONFIRMED), (0.0, 25, Verdict.UNDECIDED)],
)
def test_a_shift_between_ensembles_is_noticed_if_the_runs_allow_it(moved, runs, expected):
    sweeps = {
        "ensemble-gaussian": {"counts": planted_counts({128: 2.4, 256: 2.5}, runs, seed=1)},
        "ensemble-signs": {"counts": planted_counts({128: 2.4 + moved, 256: 2.5 + moved}, runs, seed=2)},
    }
    assert {part.verdict for part in universality.assess(sweeps).parts} == {expected}


def test_numbers_are_printed_with_their_intervals_or_bounds():
    assert with_interval(2.5, 2.4, np.inf, 1) == "2.5 [2.4, ∞]"
    assert with_interval(np.nan, 2.4, np.inf, 1) == "> 2.4"
    assert with_interval(np.nan, -np.inf, 2.6, 1) == "< 2.6"
    assert with_interval(np.nan, np.nan, np.nan) == "–"


def test_the_cost_of_a_claim_is_that_of_its_sweeps_and_says_which_are_shared():
    def reduced(minutes):
        return {"counts": xr.Dataset(attrs={"reduced": {"core_minutes": minutes}})}

    by_number = {claim.number: claim for claim in CLAIMS}
    sweeps = {"scaling-a0.01": reduced(20.4), "scaling-a1": reduced(10.0), "regulariser-3": reduced(5.0)}
    assert _cost(by_number["4"], sweeps) == "30"
    assert _cost(by_number["7b"], sweeps) == "35, partly those of (4)"
    assert _cost(by_number["5"], sweeps) == "–"
    assert _cost(by_number["4"], sweeps | {"scaling-a1": reduced(None)}) == "> 20"
