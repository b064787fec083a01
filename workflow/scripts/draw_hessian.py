if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.short_process import begin_job

    begin_job()
    from phasepipe.execution.job import run_stages
    from phasepipe.stages.hessian_figures import draw_hessian

    run_stages(snakemake, draw_hessian)
