# From runs to tables and figures.


rule estimate_success:
    input:
        receipts("runs"),
    output:
        f"{RESULTS}/{{sweep}}/success.done",
    log:
        f"{RESULTS}/{{sweep}}/logs/success.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/success.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Estimate the success probability of {wildcards.sweep}"
    script:
        "../scripts/estimate_success.py"


rule draw_success:
    input:
        f"{RESULTS}/{{sweep}}/success.done",
    output:
        multiext(f"{RESULTS}/{{sweep}}/figures/success", ".png", ".svg", ".pdf"),
    log:
        f"{RESULTS}/{{sweep}}/logs/draw_success.log",
    benchmark:
        f"{RESULTS}/{{sweep}}/benchmarks/draw_success.tsv"
    conda:
        "../envs/phasepipe.yaml"
    message:
        "Draw the success curves of {wildcards.sweep}"
    script:
        "../scripts/draw_success.py"
