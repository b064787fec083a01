"""Progress in a notebook: one bar in the output of the cell, which a real kernel updates and stores."""

import nbclient
import nbformat

CODE = """
from phasepipe.execution.progress import reporting
with reporting("<b>runs</b>", 3) as reporter:
    for _ in range(3):
        reporter.advance(1, {"recovered": 1})
"""


def test_a_notebook_shows_one_bar_and_keeps_its_last_state():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    (bar,) = (output for output in notebook.cells[0].outputs if output.output_type == "display_data")
    shown = bar["data"]["text/html"]
    assert '<progress value="3" max="3">' in shown
    assert "recovered 3" in shown
    assert "<b>" not in shown
    assert "&lt;b&gt;runs&lt;/b&gt;" in shown
