"""The history of a sweep: every writing command is in it, whatever happens to the command or to the store."""

import json
import subprocess

import pytest

from phasepipe.results.export import Format, export_sweep
from phasepipe.results.history import read_history
from phasepipe.results.reduce import reduce_sweep
from phasepipe.results.verify import verify
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import mark_pending


@pytest.fixture
def commanded(monkeypatch):
    """Makes what follows the work of another command."""

    def by(command, started="2026-01-02T03:04:05.000"):
        monkeypatch.setenv("PHASEPIPE_COMMAND", json.dumps({"command": command, "started": started}))

    return by


@pytest.fixture
def grown(run_sweep, tmp_path, commanded):
    """A sweep that two commands made and a third continued."""
    commanded("snakemake first", "2026-01-02T03:04:05.000")
    folder = run_sweep(tmp_path, alpha=[4], instances=2)
    commanded("snakemake second", "2026-01-02T04:00:00.000")
    run_sweep(tmp_path, alpha=[4, 2], instances=4)
    mark_pending(folder.store("runs", 12), [(0, 0, 0)])
    commanded("snakemake third", "2026-01-02T05:00:00.000")
    run_sweep(tmp_path, alpha=[4, 2], instances=4)
    return folder


def test_it_names_command_code_time_and_what_grew(grown):
    events = [event for event in read_history(grown) if event["store"] == "runs/N12"]
    assert [event["command"].split()[1] for event in events] == ["first", "second", "third"]
    first, second, third = events
    assert first["sizes"] == {"alpha": 1, "instance": 2, "start": 2}
    assert first["grew"] == {"alpha": 0, "instance": 0, "start": 0}
    assert second["sizes"] == {"alpha": 2, "instance": 4, "start": 2}
    assert second["grew"] == {"alpha": 1, "instance": 2}
    assert third["grew"] == {}
    assert third["computes"] == 4  # a block of two instances with two starts
    assert all(event["version"] == "0.1.0" and len(event["commit"]) >= 7 for event in events)
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    tables = [event["command"] for event in read_history(grown) if event["store"] == "success"]
    assert tables == ["snakemake first", "snakemake second", "snakemake third"]


def test_a_command_with_nothing_to_do_leaves_nothing(grown, run_sweep, commanded):
    before = (grown.store("runs", 12) / "zarr.json").read_bytes()
    commanded("snakemake fourth")
    run_sweep(grown.root.parent, alpha=[4, 2], instances=4)
    assert (grown.store("runs", 12) / "zarr.json").read_bytes() == before


def test_the_command_line_shows_it(grown, phasepipe):
    code, out, _ = phasepipe("log", grown.root)
    assert code == 0
    said = " ".join(out.replace("│", " ").split())
    for words in ("snakemake", "third", "0.1.0", "entries computed", "tables made: success"):
        assert words in said
    code, _, err = phasepipe("log", grown.root.parent)
    assert code == 1
    assert "has no history" in err


def test_it_passes_into_what_is_kept(grown, tmp_path):
    reduced = SweepFolder(tmp_path / "reduced")
    reduce_sweep(grown, reduced)
    assert read_history(reduced) == read_history(grown)
    for form in Format:
        export_sweep(grown, form, tmp_path / form.value, "CC-BY-4.0", [])
        package = json.loads((tmp_path / form.value / "datapackage.json").read_text())
        assert package["history"] == read_history(grown)


def test_verify_notices_a_changed_history_and_restores_it(grown):
    file = grown.store("runs", 12) / "zarr.json"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"snakemake second", b"snakemake secret"))
    assert verify(grown, 0, repair=False)["runs/N12"].damaged
    verify(grown, 0, repair=True)
    assert file.read_bytes() == before
    assert not verify(grown, 0, repair=False)["runs/N12"].damaged


def test_the_checkout_is_named_and_a_foreign_repository_is_not_asked(grown, tmp_path):
    """git runs programs that the configuration of a repository names."""
    repository = grown.root
    subprocess.run(["git", "init", "-q", repository], check=True)
    marker = tmp_path / "ran"
    hook = f"touch {marker}"
    subprocess.run(["git", "-C", repository, "config", "core.fsmonitor", hook], check=True)
    reduce_sweep(grown, SweepFolder(tmp_path / "reduced"))
    assert not marker.exists()
    subprocess.run(["git", "-C", repository, "status"], check=False, capture_output=True)
    assert marker.exists()  # git itself would have run it
