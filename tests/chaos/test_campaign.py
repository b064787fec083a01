"""A short campaign of faults: no block is lost, no number is wrong, nothing hangs, no traceback appears."""

import pytest

from tests.chaos.__main__ import main
from tests.chaos.campaign import campaign, kinds_for
from tests.chaos.commands import warm_up
from tests.chaos.faults import KINDS
from tests.chaos.page import BEGIN, END, table, write_page

SHORT = (
    "all workers killed",
    "script killed",
    "second writer",
    "stale lock",
    "bit flipped",
)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    warm_up()
    kinds = [kind for kind in KINDS if kind.name.startswith(SHORT)]
    return list(campaign(tmp_path_factory.mktemp("chaos"), len(SHORT), 3, "stages", kinds))


def test_every_fault_is_recovered_from_to_the_bit(outcomes):
    assert len({outcome.kind for outcome in outcomes}) == len(SHORT)
    assert all(outcome.well for outcome in outcomes), outcomes


def test_a_stage_without_workers_recovers_too(tmp_path):
    kinds = [kind for kind in kinds_for("process") if kind.name.startswith("script killed")]
    (outcome,) = campaign(tmp_path, 1, 5, "process", kinds)
    assert outcome.well, outcome


def test_damage_is_mended_by_the_workflow_too(tmp_path):
    """The workflow repairs damage, although Snakemake ignores a missing receipt if later outputs exist."""
    kinds = [kind for kind in KINDS if kind.name == "chunk deleted"]
    (outcome,) = campaign(tmp_path, 1, 5, "workflow", kinds)
    assert outcome.well, outcome


def test_the_page_counts_what_happened(outcomes, tmp_path):
    rows = table(outcomes).splitlines()
    assert len(rows) == 2 + len(SHORT) + 1
    assert rows[-1].startswith(f"| all | {len(SHORT)} | 0 | 0 | {len(SHORT)} | 0 | 0 | 0 | 0 |")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_page(page, outcomes)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text


def test_a_kind_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["chaos", "--faults", "1", "--workflow", "0", "--process", "0", "--only", "network cut"]
    )
    with pytest.raises(SystemExit):
        main()
    assert "no kind of fault for the stages has 'network cut' in its name" in capsys.readouterr().err
