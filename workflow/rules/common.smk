# Reads and checks the sweep before any job starts, and defines where its results are stored.


def checked_sweep():
    """The sweep named in the configuration; an error in it ends Snakemake with one sentence."""
    try:
        sweep = load_sweep(config)
        check_folder(sweep, Path(config.get("results", "results")))
    except UserError as error:
        # a WorkflowError would add file names and line numbers of the workflow
        sys.exit(f"phasepipe: {error}")
    return sweep


def hold_results():
    """Lock the results, so that only one workflow at a time writes them."""
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
    """The grid at each N. If it changes, the rule runs again and computes only what is new."""
    return [SWEEP.grid_key(N) for N in SWEEP.N]


def receipts(stage):
    """One receipt per N, in the order of the sweep."""
    return [f"{RESULTS}/{{sweep}}/{stage}/N{N}.done" for N in SWEEP.N]


def picture(name, category):
    """A figure that `snakemake --report` shows with the same caption as the report of the sweep."""
    return report(
        f"{RESULTS}/{{sweep}}/figures/{name}.png",
        caption=f"../../phasepipe/report/captions/{name}.rst",
        category=category,
        labels={"figure": name},
    )


def hessian_figures(wildcards):
    """The figures of the Hessian, if the sweep stores snapshots."""
    return f"{RESULTS}/{SWEEP.name}/figures/hessian-spectra.png" if len(SWEEP.snapshot_indices()) else []


def final_outputs(wildcards):
    return f"{RESULTS}/{SWEEP.name}/report.html"
