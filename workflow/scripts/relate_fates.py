if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_table
    from phasepipe.stages.fate import relate_fates

    run_table(snakemake, relate_fates)
