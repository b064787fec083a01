if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.instances import draw_instances
    from phasepipe.stages.script import run_blocks

    run_blocks(snakemake, draw_instances)
