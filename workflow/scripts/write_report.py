if __name__ == "__main__":  # Dask workers import this file too, but need nothing from it
    from phasepipe.execution.job import run_whole
    from phasepipe.report.page import write_report

    run_whole(snakemake, write_report)
