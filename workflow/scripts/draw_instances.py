if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.instances import draw_instances
    from phasepipe.stages.script import run_per_size

    run_per_size(snakemake, draw_instances)
