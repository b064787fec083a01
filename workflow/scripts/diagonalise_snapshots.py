if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.script import run_per_size
    from phasepipe.stages.spectrum import diagonalise_snapshots

    run_per_size(snakemake, diagonalise_snapshots)
