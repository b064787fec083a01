# Block-wise stages on Dask workers, one job per N. Stores grow in place; the output is a receipt.


rule draw_instances:
    output:
        f"{RESULTS}/{{sweep}}/instances/N{{N}}.done",
    log:
        f"{RESULTS}/{{sweep}}/logs/instances-N{{N}}.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/instances-N{{N}}.tsv"
    # what needs all cores goes first: the theory then shares them with the tables
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    threads: workflow.cores if LOCAL else 1
    params:
        grid=grid,
    message:
        "Draw the instances at N = {wildcards.N}"
    script:
        "../scripts/draw_instances.py"


rule run_descent:
    input:
        f"{RESULTS}/{{sweep}}/instances/N{{N}}.done",
    output:
        f"{RESULTS}/{{sweep}}/runs/N{{N}}.done",
    log:
        f"{RESULTS}/{{sweep}}/logs/descent-N{{N}}.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/descent-N{{N}}.tsv"
    # what needs all cores goes first: the theory then shares them with the tables
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    threads: workflow.cores if LOCAL else 1
    params:
        grid=grid,
    message:
        "Run gradient descent at N = {wildcards.N}"
    script:
        "../scripts/run_descent.py"


rule diagonalise_snapshots:
    input:
        f"{RESULTS}/{{sweep}}/runs/N{{N}}.done",
    output:
        f"{RESULTS}/{{sweep}}/spectra/N{{N}}.done",
    log:
        f"{RESULTS}/{{sweep}}/logs/spectrum-N{{N}}.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/spectrum-N{{N}}.tsv"
    # what needs all cores goes first: the theory then shares them with the tables
    priority: 1
    conda:
        "../envs/phasepipe.yaml"
    threads: workflow.cores if LOCAL else 1
    params:
        grid=grid,
    message:
        "Diagonalise the Hessian at N = {wildcards.N}"
    script:
        "../scripts/diagonalise_snapshots.py"
