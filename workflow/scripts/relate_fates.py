if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.short_process import begin_job

    begin_job()
    from phasepipe.execution.job import run_stages
    from phasepipe.stages.fate import relate_fates

    run_stages(snakemake, relate_fates)
