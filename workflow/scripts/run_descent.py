if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.descent import run_descent
    from phasepipe.stages.script import run_blocks

    run_blocks(snakemake, run_descent)
