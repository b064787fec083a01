if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_table
    from phasepipe.stages.flow_threshold import find_flow_threshold

    run_table(snakemake, find_flow_threshold)
