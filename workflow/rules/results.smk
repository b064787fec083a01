# From runs to tables, figures and the report. Tables are always rewritten completely; the outputs of their rules are
# receipts. Rules that take seconds even for a small sweep run side by side; small tables share a job, because starting
# Python takes longer than they do.


rule predict_thresholds:
    output:
        table_receipts("theory"),
    log:
        f"{RESULTS}/{{sweep}}/logs/theory.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/theory.tsv"
    conda:
        "../envs/phasepipe.yaml"
    threads: cores_of_light_job
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
        multiext(f"{RESULTS}/{{sweep}}/figures/success", ".svg", ".pdf"),
        multiext(f"{RESULTS}/{{sweep}}/figures/loss", ".svg", ".pdf"),
        *flow_threshold_figure(),
    log:
        f"{RESULTS}/{{sweep}}/logs/analysis.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/analysis.tsv"
    # longer than relate_fates in a small sweep
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Estimate success of {wildcards.sweep}"
    script:
        "../scripts/analyse_runs.py"


rule relate_fates:
    input:
        receipts("runs"),
        table_receipts("theory"),
    output:
        table_receipts("fate"),
        picture("fate", "Curvature"),
    log:
        f"{RESULTS}/{{sweep}}/logs/fates.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/fates.tsv"
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Relate the fates of {wildcards.sweep} to early quantities"
    script:
        "../scripts/relate_fates.py"


rule study_scaling:
    input:
        receipts("runs"),
        table_receipts("theory"),
    output:
        table_receipts("scaling"),
    log:
        f"{RESULTS}/{{sweep}}/logs/scaling.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/scaling.tsv"
    # the longest of those that run side by side
    priority: 2
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Study the scaling of {wildcards.sweep}"
    script:
        "../scripts/study_scaling.py"


rule draw_hessian:
    input:
        receipts("runs"),
        receipts("spectra"),
        table_receipts("theory"),
    output:
        *pictures(HESSIAN_FIGURES, "Curvature"),
    log:
        f"{RESULTS}/{{sweep}}/logs/hessian.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/hessian.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the Hessian of {wildcards.sweep}"
    script:
        "../scripts/draw_hessian.py"


rule draw_dynamics:
    input:
        receipts("runs"),
        *(table_receipts(table) for table in ("theory", "success")),
        table_receipts("dynamics", SWEEP.dynamics_digest()),
    output:
        *pictures(DYNAMICS_FIGURES, "Dynamics"),
    log:
        f"{RESULTS}/{{sweep}}/logs/dynamics-figures.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/dynamics-figures.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the predicted dynamics over the runs of {wildcards.sweep}"
    script:
        "../scripts/draw_dynamics.py"


rule write_report:
    input:
        receipts("runs"),
        *(table_receipts(table) for table in ("theory", "scaling", "fate", *ANALYSED)),
        receipts("spectra") if HAS_SNAPSHOTS else [],
        table_receipts("dynamics", SWEEP.dynamics_digest()) if SWEEP.dynamics_theory else [],
        [f"{RESULTS}/{{sweep}}/figures/{name}.png" for name in FIGURES],
    output:
        report(
            f"{RESULTS}/{{sweep}}/report.html",
            caption="../report/page.rst",
            category="Report",
        ),
    log:
        f"{RESULTS}/{{sweep}}/logs/report.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/report.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Write the report of {wildcards.sweep}"
    script:
        "../scripts/write_report.py"
