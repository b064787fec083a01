if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.stages.hessian import draw_hessian
    from phasepipe.stages.script import run_whole

    run_whole(snakemake, draw_hessian)
