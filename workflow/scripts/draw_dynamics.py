if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_whole
    from phasepipe.stages.dynamics_figures import draw_dynamics

    run_whole(snakemake, draw_dynamics)
