# From runs to tables, figures and the report. Tables are always rewritten completely; the output of their rules is an
# empty receipt.


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


rule estimate_success:
    input:
        receipts("runs"),
    output:
        table_receipts("success"),
    log:
        f"{RESULTS}/{{sweep}}/logs/success.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/success.tsv"
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Estimate the success probability of {wildcards.sweep}"
    script:
        "../scripts/estimate_success.py"


rule draw_success:
    input:
        table_receipts("success"),
        table_receipts("theory"),
    output:
        picture("success", "Recovery"),
        picture("loss", "Recovery"),
        multiext(f"{RESULTS}/{{sweep}}/figures/success", ".svg", ".pdf"),
        multiext(f"{RESULTS}/{{sweep}}/figures/loss", ".svg", ".pdf"),
    log:
        f"{RESULTS}/{{sweep}}/logs/draw_success.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/draw_success.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the success curves and the losses of {wildcards.sweep}"
    script:
        "../scripts/draw_success.py"


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
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Study the finite-size scaling of {wildcards.sweep}"
    script:
        "../scripts/study_scaling.py"


rule relate_fates:
    input:
        receipts("runs"),
    output:
        table_receipts("fate"),
        picture("fate", "Curvature"),
    log:
        f"{RESULTS}/{{sweep}}/logs/fate.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/fate.tsv"
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Relate the fate of the runs of {wildcards.sweep} to quantities known early"
    script:
        "../scripts/relate_fates.py"


rule find_flow_threshold:
    input:
        receipts("runs"),
        table_receipts("theory"),
    output:
        table_receipts("flow_threshold"),
        picture("flow-threshold", "Flow threshold"),
    log:
        f"{RESULTS}/{{sweep}}/logs/flow_threshold.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/flow_threshold.tsv"
    conda:
        "../envs/phasepipe.yaml"
    params:
        grid=GRID,
    message:
        "Find the alpha at which the states where the runs of {wildcards.sweep} end turn unstable"
    script:
        "../scripts/find_flow_threshold.py"


rule draw_dynamics:
    input:
        receipts("runs"),
        table_receipts("dynamics", SWEEP.dynamics_digest()),
        table_receipts("success"),
        table_receipts("theory"),
    output:
        *(
            picture(name, "Dynamics")
            for name in ("dynamics", "dynamics-success", "dynamics-alpha50", "dynamics-windows")
        ),
    log:
        f"{RESULTS}/{{sweep}}/logs/draw_dynamics.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/draw_dynamics.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the predicted dynamics over the runs of {wildcards.sweep}"
    script:
        "../scripts/draw_dynamics.py"


rule draw_hessian:
    input:
        receipts("spectra"),
        table_receipts("theory"),
    output:
        *(
            picture(f"hessian-{name}", "Curvature")
            for name in ("spectra", "eigenvalues", "overlap", "windows", "phi")
        ),
    log:
        f"{RESULTS}/{{sweep}}/logs/draw_hessian.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/draw_hessian.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the Hessian of {wildcards.sweep} during the descent"
    script:
        "../scripts/draw_hessian.py"


rule write_report:
    input:
        receipts("runs"),
        table_receipts("theory"),
        f"{RESULTS}/{{sweep}}/figures/success.png",
        table_receipts("scaling"),
        table_receipts("fate"),
        hessian_figures,
        dynamics_figures,
        flow_threshold_figure,
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
