# The sweep to run, checked before any job starts, and where its results lie.


def checked_sweep():
    """The sweep named in the configuration; a mistake in it ends Snakemake with one sentence."""
    try:
        sweep = load_sweep(config)
        withdraw_holed_receipts(check_folder(sweep, Path(config.get("results", "results"))).root)
    except UserError as error:
        # a WorkflowError would be framed by file names and line numbers of the workflow
        sys.exit(f"phasepipe: {error}")
    return sweep


def hold_results():
    """One workflow at a time writes the results of a sweep."""
    try:
        guard_workflow(Path(RESULTS) / SWEEP.name)
    except UserError as error:
        sys.exit(f"phasepipe: {error}")


SWEEP = checked_sweep()
RESULTS = config.get("results", "results")
LOCAL = SWEEP.cluster.kind == "local"


wildcard_constraints:
    sweep=SWEEP.name.replace(".", r"\."),


def all_grids(wildcards):
    """What the runs at each N depend on: a change makes a rule run again, and compute only what is new."""
    return [SWEEP.grid_key(N) for N in SWEEP.N]


def receipts(stage):
    """One for each N, in the order of the sweep."""
    return [f"{RESULTS}/{{sweep}}/{stage}/N{N}.done" for N in SWEEP.N]


def picture(name, category):
    """A figure that `snakemake --report` shows, with the caption of the report of the sweep."""
    return report(
        f"{RESULTS}/{{sweep}}/figures/{name}.png",
        caption=f"../../phasepipe/report/captions/{name}.rst",
        category=category,
        labels={"figure": name},
    )


def hessian_figures(wildcards):
    """Drawn only where the sweep keeps snapshots."""
    return f"{RESULTS}/{SWEEP.name}/figures/hessian-spectra.png" if len(SWEEP.snapshot_indices()) else []


def final_outputs(wildcards):
    return f"{RESULTS}/{SWEEP.name}/report.html"
