if __name__ == "__main__":  # Dask workers import this file and need none of it
    from phasepipe.report.page import write_report
    from phasepipe.stages.script import run_whole

    run_whole(snakemake, write_report)
