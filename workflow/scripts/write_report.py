if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_stages
    from phasepipe.report.page import write_report
    from phasepipe.stages.analysis import draw_theory_and_curvature

    run_stages(snakemake, draw_theory_and_curvature, write_report)
