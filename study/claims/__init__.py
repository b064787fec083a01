"""One module per claim of the papers: from reduced sweeps to verdicts, numbers and a figure."""
