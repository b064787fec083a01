# Block-wise stages on Dask workers, one job for all N: the blocks of every N share the workers, and only one cluster
# is started. Stores grow in place; the outputs are receipts, one per N.


# on demand: the descent draws and stores the instances that it meets
rule draw_instances:
    output:
        receipts("instances"),
    log:
        f"{RESULTS}/{{sweep}}/logs/instances.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/instances.tsv"
    # what needs all cores goes first: the theory then shares them with the tables
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    threads: all_cores
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
    # what needs all cores goes first: the theory then shares them with the tables
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    threads: all_cores
    params:
        grid=GRID,
    message:
        "Run the descents of {wildcards.sweep}"
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
    # what needs all cores goes first: the theory then shares them with the tables
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    threads: all_cores
    params:
        grid=GRID,
    message:
        "Diagonalise the Hessian at the snapshots of {wildcards.sweep}"
    script:
        "../scripts/diagonalise_snapshots.py"
