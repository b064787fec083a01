if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_whole
    from phasepipe.stages.success_figures import draw_success

    run_whole(snakemake, draw_success)
