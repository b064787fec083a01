if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_blocks
    from phasepipe.stages.steering import run_rounds

    run_blocks(snakemake, run_rounds)
