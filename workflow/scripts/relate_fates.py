if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.fate import relate_fates
    from phasepipe.stages.script import run_table

    run_table(snakemake, relate_fates)
