# Stages that compute in blocks on Dask workers. One job covers all N, so that it starts a single cluster and the blocks
# of all N share its workers. Stores are extended in place; the outputs are receipts, one per N.


# only runs on request: run_descent draws and stores the instances that it needs
rule draw_instances:
    output:
        receipts("instances"),
    log:
        f"{RESULTS}/{{sweep}}/logs/instances.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/instances.tsv"
    # rules that use all cores run first; the theory and the tables then share the cores
    priority: 2
    conda:
        "../envs/phasepipe.yaml"
    threads: cores_of_blocks
    params:
        grid=GRID,
    message:
        "Draw the instances of {wildcards.sweep}"
    script:
        "../scripts/draw_instances.py"


rule run_descent:
    output:
        receipts("runs"),
    log:
        f"{RESULTS}/{{sweep}}/logs/descent.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/descent.tsv"
    # rules that use all cores run first; the theory and the tables then share the cores
    priority: 2
    conda:
        "../envs/phasepipe.yaml"
    threads: cores_of_blocks
    params:
        grid=GRID,
    message:
        "Run gradient descent for {wildcards.sweep}"
    script:
        "../scripts/run_descent.py"


rule diagonalise_snapshots:
    input:
        receipts("runs"),
    output:
        receipts("spectra"),
    log:
        f"{RESULTS}/{{sweep}}/logs/spectrum.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/spectrum.tsv"
    # rules that use all cores run first; the theory and the tables then share the cores
    priority: 2
    conda:
        "../envs/phasepipe.yaml"
    threads: cores_of_blocks
    params:
        grid=GRID,
    message:
        "Diagonalise the Hessian at the snapshots of {wildcards.sweep}"
    script:
        "../scripts/diagonalise_snapshots.py"
