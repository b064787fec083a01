if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_table
    from phasepipe.stages.scaling import study_scaling

    run_table(snakemake, study_scaling)
