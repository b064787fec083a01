if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_table
    from phasepipe.stages.success import estimate_success

    run_table(snakemake, estimate_success)
