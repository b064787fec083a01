if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.script import run_blocks
    from phasepipe.stages.spectrum import diagonalise_snapshots

    run_blocks(snakemake, diagonalise_snapshots)
