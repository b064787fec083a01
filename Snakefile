# phasepipe: from a sweep in a YAML file to stores, tables and figures in results/<sweep>
import sys
from importlib import resources

from phasepipe.specification.choice import choose
from phasepipe.specification.configuration import check_content, load_configuration
from phasepipe.specification.loss import foreign_code
from phasepipe.errors import UserError
from phasepipe.store.folder import check_folder
from phasepipe.store.integrity import remove_stale_receipts
from phasepipe.execution.cost import computed_here
from phasepipe.execution.workflow_guard import guard_workflow
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")


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
