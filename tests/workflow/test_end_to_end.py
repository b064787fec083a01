"""Runs the workflow with Snakemake on a small sweep, as a user does."""

import re
import shutil

import numpy as np
import pytest

import phasepipe as pp

SWEEP = {"starts": [{"kind": "random", "count": 2}], "block_instances": 2}


def assert_refused(code, output, *words):
    assert code != 0
    sentences = [line for line in output.splitlines() if line.startswith("phasepipe: ")]
    assert len(sentences) == 1, output
    assert "Traceback" not in output
    assert 'File "' not in output
    for word in words:
        assert word in sentences[0]


def test_a_sweep_gives_stores_a_table_and_figures(finished):
    for name in ("success.png", "success.svg", "success.pdf"):
        assert (finished.results / "figures" / name).stat().st_size > 1000
    for stage in ("descent", "theory", "analysis", "fates", "report"):
        assert (finished.results / "logs" / f"{stage}.log").read_text().strip()
        assert (finished.results / "benchmarks" / f"{stage}.tsv").exists()
    assert not list(finished.results.rglob("*.lock"))
    tree = pp.open_sweep(finished.results)
    assert {"/instances/N12", "/runs/N12", "/success"} <= {node.path for node in tree.leaves}
    assert (tree["runs/N12"]["status"] == 1).all()
    table = tree["success"].isel(start_group=0).load()
    assert (table["n"] == 4 * 2).all()
    assert ((table["lower"] >= 0) & (table["lower"] <= table["p"])).all()
    assert ((table["p"] <= table["upper"]) & (table["upper"] <= 1)).all()
    assert (table["p"].diff("budget") >= 0).all()


def test_a_finished_sweep_has_nothing_to_be_done(project):
    before = project.chunks()
    code, output = project.snakemake()
    assert code == 0
    assert "Nothing to be done" in output
    assert project.chunks() == before


def test_growing_computes_only_what_is_new(project, configuration):
    before = project.chunks()
    starts = [{"kind": "random", "count": 3}, {"kind": "warm", "count": 1, "m0": 0.5}]
    grown = SWEEP | {"N": [12, 14], "alpha": [3, 2, 4], "instances": 6, "starts": starts}
    project.configure(configuration(**grown))
    code, output = project.snakemake()
    assert code == 0, output
    after = project.chunks()
    assert {file: after[file] for file in before} == before
    assert len(after) > len(before)
    log = (project.results / "logs/descent.log").read_text()
    assert f"16 of {3 * 6 * 4} stored, {3 * 6 * 4 - 16} to compute" in log
    tree = pp.open_sweep(project.results)
    table = tree["success"].load()
    assert table["alpha"].values.tolist() == [2, 3, 4]
    assert table["N"].values.tolist() == [12, 14]
    assert table["n"].isel(budget=-1).sel(alpha=3, N=14).values.tolist() == [18, 6]
    for N in (12, 14):
        assert (tree[f"runs/N{N}"]["status"] == 1).all()


@pytest.mark.parametrize("memory", ["kept", "lost"])
@pytest.mark.parametrize("triggers", [(), ("--rerun-triggers", "mtime")], ids=["all", "mtime"])
def test_growth_is_seen_whatever_snakemake_remembers(project, configuration, memory, triggers):
    if memory == "lost":
        shutil.rmtree(project.root / ".snakemake")
    code, said = project.snakemake("--dry-run", *triggers)
    assert code == 0
    assert "Nothing to be done" in said
    project.configure(configuration(**SWEEP | {"instances": 6}))
    before = {file: file.read_bytes() for file in project.root.rglob("*.done")}
    code, said = project.snakemake("--dry-run", *triggers)
    assert code == 0
    for rule in (
        "run_descent",
        "predict_thresholds",
        "analyse_runs",
        "relate_fates",
        "study_scaling",
        "write_report",
    ):
        assert re.search(rf"^{rule} +1$", said, re.MULTILINE)
    # the reason names the grid by its digest, and does not write it out
    assert '"measurements"' not in said
    assert "'measurements'" not in said
    assert max(map(len, said.splitlines())) < 1000
    assert {file: file.read_bytes() for file in project.root.rglob("*.done")} == before


def test_growth_without_memory_loses_nothing_and_is_done_once(project, configuration):
    shutil.rmtree(project.root / ".snakemake")
    before = project.chunks()
    project.configure(configuration(**SWEEP | {"instances": 6}))
    code, said = project.snakemake("--rerun-triggers", "mtime")
    assert code == 0, said
    after = project.chunks()
    assert {file: after[file] for file in before} == before
    assert (pp.open_sweep(project.results)["success"]["n"].load() == 6 * 2).all()
    assert len(list(project.results.glob("runs/grid-*.done"))) == 1
    code, said = project.snakemake("--dry-run", "--rerun-triggers", "mtime")
    assert "Nothing to be done" in said
    # back to the smaller grid: nothing is computed, the tables are made of less
    project.configure(configuration(**SWEEP))
    code, said = project.snakemake("--rerun-triggers", "mtime")
    assert code == 0, said
    assert project.chunks() == after
    assert (pp.open_sweep(project.results)["success"]["n"].load() == 4 * 2).all()


def test_another_loss_is_refused_and_touches_nothing(project, configuration):
    before = project.chunks()
    project.configure(configuration(**SWEEP, loss={"kind": "quartic"}))
    code, output = project.snakemake()
    assert_refused(code, output, "holds a different sweep", "'quartic' now", "another name")
    assert project.chunks() == before


def test_a_locked_store_fails_the_job_with_one_sentence(project, configuration):
    project.configure(configuration(**SWEEP | {"instances": 5}))
    owner = '{"pid": 1, "host": "elsewhere", "since": "2026-01-02", "process_start": "1"}'
    (project.results / "instances/N12.lock").write_text(owner)
    code, output = project.snakemake()
    assert code != 0
    assert "Traceback" not in output
    sentence = "is being written by process 1 on elsewhere since 2026-01-02"
    assert output.count(sentence) == 1
    assert sentence in (project.results / "logs/descent.log").read_text()


def test_instances_can_be_drawn_without_running_anything(finished, tmp_path, configuration, new_project):
    project = new_project(tmp_path / "fresh", configuration(**SWEEP))
    code, said = project.snakemake("results/small/instances/N12.done")
    assert code == 0, said
    assert "run_descent" not in said
    drawn, found = (pp.open_sweep(one.results)["instances/N12"].load() for one in (project, finished))
    for name in ("signal", "labels", "digest", "status"):
        np.testing.assert_array_equal(drawn[name], found[name])


def test_a_dry_run_and_the_linter_touch_nothing(tmp_path, configuration, new_project):
    project = new_project(tmp_path / "fresh", configuration(**SWEEP))
    code, said = project.snakemake("--dry-run")
    assert code == 0, said
    assert "run_descent" in said
    code, said = project.snakemake("--lint")
    assert code == 0, said
    assert not (project.root / "results").exists()


def test_the_theory_starts_with_a_descent_that_claims_all_cores(tmp_path, configuration, new_project):
    project = new_project(
        tmp_path / "project", configuration(**SWEEP, cluster={"kind": "local", "workers": 1})
    )
    targets = [f"results/small/{name}.done" for name in ("theory", "runs/N12")]
    code, said = project.snakemake(*targets, cores=("--cores", "1"))
    assert code == 0, said
    begun = [said.index(message) for message in ("Compute the thresholds", "Run gradient descent")]
    assert max(begun) < said.index("Finished jobid"), said


def test_the_threshold_of_the_flow_is_found_only_without_a_signal(tmp_path, configuration, new_project):
    project = new_project(tmp_path / "fresh", configuration(**SWEEP))
    assert "flow-threshold" not in project.snakemake("--dry-run")[1]
    project.configure(configuration(**SWEEP, zero_signal=True))
    code, said = project.snakemake("--dry-run")
    assert code == 0, said
    assert "flow_threshold.done" in said


def test_mistakes_are_one_sentence_before_any_job(tmp_path, configuration, new_project):
    project = new_project(tmp_path / "fresh", configuration(**SWEEP, t_maxx=3))
    assert_refused(*project.snakemake(), "unknown key 't_maxx'; did you mean 't_max'?")
    project.configure(configuration(**SWEEP))
    (project.root / "results").write_text("a file where the folder should be")
    assert_refused(*project.snakemake(), "results/small cannot be written", "key results")
    slurm = {"kind": "slurm", "jobs": 2, "partition": "main"}
    for changes, words in {
        "cluster": ({"cluster": slurm}, "unknown key 'cluster.partition'"),
        "loss": ({"loss": {"kind": "custom", "path": "nowhere_at_all.Loss"}}, "cannot be imported"),
        "alpha": ({"alpha": [0.01]}, "alpha = 0.01"),
    }.values():
        project.configure(configuration(**SWEEP | changes))
        assert_refused(*project.snakemake(), words)
    project.configure("sweep: [")
    assert_refused(*project.snakemake(), "config/config.yaml is not valid YAML: line 1")
