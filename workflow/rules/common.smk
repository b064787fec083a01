# Reads and checks the sweep before any job starts, and defines where its results are stored.


def loaded():
    """What the configuration says, read by phasepipe alone; a mistake in it ends Snakemake with one sentence.

    There is no `configfile:`, because Snakemake would merge a file of the user's own into it, key by key.
    A workflow that imports this one with `module:` gives the content of such a file as `config:`.
    """
    try:
        if workflow.modifier.is_main_snakefile():
            files = workflow.overwrite_configfiles or choose().files
            found = load_configuration(files, workflow.config_settings.config)
        elif "file" in config:
            chosen = {key: value for key, value in config.items() if key != "file"}
            found = load_configuration([config["file"]], chosen)
        else:
            found = check_content(config)
        if workflow.is_main_process and (code := foreign_code(found.sweep.loss)):
            # without "phasepipe: ", which begins the reason for which something ended
            print(f"this sweep runs the code of {code}", file=sys.stderr)
        found = found.trusted()
        remove_stale_receipts(check_folder(found.sweep, found.results).root)
    except UserError as error:
        # a WorkflowError would add file names and line numbers of the workflow
        sys.exit(f"phasepipe: {error}")
    return found


LOADED = loaded()
SWEEP = LOADED.sweep
RESULTS = str(LOADED.results)
CAPTIONS = resources.files("phasepipe.report") / "captions"

# what scripts read, and --archive keeps
config.clear()
config.update(LOADED.content)
if not workflow.overwrite_configfiles:
    workflow.configfiles.extend(LOADED.files)


wildcard_constraints:
    sweep=SWEEP.name.replace(".", r"\."),


def hold_results():
    """One workflow at a time writes the results of a sweep."""
    try:
        # Snakemake leaves the folder of --directory before the lock is given back
        guard_workflow((LOADED.results / SWEEP.name).absolute())
    except UserError as error:
        sys.exit(f"phasepipe: {error}")


def all_cores(wildcards):
    """Processes of this machine use all; a cluster elsewhere is only waited for."""
    try:
        return workflow.cores if SWEEP.cluster.kind == "local" else 1
    except WorkflowError:  # --summary, --dag and their like run nothing, and need no --cores
        return 1


def cores_of_blocks(wildcards):
    """All, for workers of a local cluster; one if the blocks are so short that the job computes them itself."""
    return 1 if computed_here(SWEEP) else all_cores(wildcards)


def cores_of_light_job(wildcards):
    """None on this machine beside a stage that claims all: both start at once, and that stage needs one core at first.

    The scheduler starts nothing while no core is free, so this holds for jobs that are ready when that stage is.
    """
    return 0 if workflow.local_exec and not computed_here(SWEEP) else 1


# what the runs at all N depend on: after a change rules run again, and compute only what is new
GRID = SWEEP.grid_digest()
HAS_SNAPSHOTS = len(SWEEP.snapshot_indices()) > 0
HESSIAN_FIGURES = [f"hessian-{name}" for name in ("spectra", "eigenvalues", "overlap", "windows", "phi")]
DYNAMICS_FIGURES = ["dynamics", "dynamics-success", "dynamics-alpha50", "dynamics-windows"]
# figures that only some sweeps have
FIGURES = [*(HESSIAN_FIGURES if HAS_SNAPSHOTS else []), *(DYNAMICS_FIGURES if SWEEP.dynamics_theory else [])]
# tables of the rule analyse_runs
ANALYSED = ("success", *(["flow_threshold"] if SWEEP.zero_signal else []))


def receipts(stage):
    """One for each N, in the order of the sweep, and one named after the grid."""
    names = [*(f"N{N}" for N in SWEEP.N), f"grid-{GRID}"]
    return [f"{RESULTS}/{{sweep}}/{stage}/{name}.done" for name in names]


def table_receipts(table, digest=GRID):
    """One for the table, and one named after the grid that it covers."""
    return [f"{RESULTS}/{{sweep}}/{name}.done" for name in (table, f"{table}-{digest}")]


def picture(name, category):
    """A figure that `snakemake --report` shows with the same caption as the report of the sweep."""
    return report(
        f"{RESULTS}/{{sweep}}/figures/{name}.png",
        caption=str(CAPTIONS / f"{name}.rst"),
        category=category,
        labels={"figure": name},
    )


def pictures(names, category):
    """The same for several figures."""
    return [picture(name, category) for name in names]


def flow_threshold_figure():
    """The figure of the threshold that the flow meets, if the sweep has no signal."""
    return [picture("flow-threshold", "Flow threshold")] if SWEEP.zero_signal else []


def final_outputs(wildcards):
    """The report, and what says that all before it covers the grid asked for.

    Snakemake looks for missing files only among its targets: a report that is there would hide them.
    """
    stages = ["runs", "spectra"] if HAS_SNAPSHOTS else ["runs"]
    asked = [receipts(stage)[-1] for stage in stages]
    asked += [table_receipts(table)[-1] for table in ("theory", "scaling", "fate", *ANALYSED)]
    asked += [f"{RESULTS}/{{sweep}}/figures/{name}.png" for name in FIGURES]
    return [f"{RESULTS}/{SWEEP.name}/report.html", *(path.format(sweep=SWEEP.name) for path in asked)]
