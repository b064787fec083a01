if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.short_process import begin_job

    begin_job()
    from functools import partial

    from phasepipe.execution.job import run_stages
    from phasepipe.stages.dynamics import predict_dynamics

    run_stages(snakemake, partial(predict_dynamics, cores=snakemake.threads))
