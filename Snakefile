# phasepipe: from a sweep in config/config.yaml to stores, tables and figures in results/<sweep>
import sys
from pathlib import Path

from phasepipe.pipeline.configuration import load_sweep
from phasepipe.pipeline.errors import UserError
from phasepipe.pipeline.folders import check_folder
from phasepipe.pipeline.guard import guard_workflow
from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/results.smk"


onstart:
    hold_results()


rule all:
    default_target: True
    input:
        final_outputs,
