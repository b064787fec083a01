if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.scaling import study_scaling
    from phasepipe.stages.script import run_table

    run_table(snakemake, study_scaling)
