if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.figures import draw_success
    from phasepipe.stages.script import run_whole

    run_whole(snakemake, draw_success)
