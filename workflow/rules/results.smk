# From runs to tables, figures and the report. Tables are always rewritten completely; the outputs of their rules are
# receipts. One job makes all tables of the runs and another all that the report adds, because starting Python takes
# longer than most of them.


rule predict_thresholds:
    output:
        table_receipts("theory"),
    log:
        f"{RESULTS}/{{sweep}}/logs/theory.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/theory.tsv"
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Compute the thresholds for N to infinity"
    script:
        "../scripts/predict_thresholds.py"


rule predict_dynamics:
    output:
        table_receipts("dynamics", SWEEP.dynamics_digest()),
    log:
        f"{RESULTS}/{{sweep}}/logs/dynamics.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/dynamics.tsv"
    conda:
        "../envs/phasepipe.yaml"
    threads: all_cores
    params:
        digest=SWEEP.dynamics_digest(),
    message:
        "Predict the dynamics of {wildcards.sweep} for N to infinity"
    script:
        "../scripts/predict_dynamics.py"


rule analyse_runs:
    input:
        receipts("runs"),
        table_receipts("theory"),
    output:
        *(receipt for table in ANALYSED for receipt in table_receipts(table)),
        picture("success", "Recovery"),
        picture("loss", "Recovery"),
        picture("fate", "Curvature"),
        multiext(f"{RESULTS}/{{sweep}}/figures/success", ".svg", ".pdf"),
        multiext(f"{RESULTS}/{{sweep}}/figures/loss", ".svg", ".pdf"),
        *flow_threshold_figure(),
    log:
        f"{RESULTS}/{{sweep}}/logs/analysis.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/analysis.tsv"
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Estimate success, scaling and fates of {wildcards.sweep}"
    script:
        "../scripts/analyse_runs.py"


rule write_report:
    input:
        receipts("runs"),
        *(table_receipts(table) for table in ("theory", *ANALYSED)),
        receipts("spectra") if HAS_SNAPSHOTS else [],
        table_receipts("dynamics", SWEEP.dynamics_digest()) if SWEEP.dynamics_theory else [],
    output:
        report(
            f"{RESULTS}/{{sweep}}/report.html",
            caption="../report/page.rst",
            category="Report",
        ),
        *hessian_figures(),
        *dynamics_figures(),
    log:
        f"{RESULTS}/{{sweep}}/logs/report.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/report.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the remaining figures of {wildcards.sweep} and write its report"
    script:
        "../scripts/write_report.py"
