if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.short_process import begin_job

    begin_job()
    if snakemake.threads > 1:  # most likely worker processes; a job with one thread may compute alone
        from phasepipe.execution.forking import prepare_workers

        prepare_workers()
    from phasepipe.execution.job import run_blocks
    from phasepipe.stages.runs import compute_runs

    run_blocks(snakemake, compute_runs)
