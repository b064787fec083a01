"""What the study says to each claim of the papers: reduced sweeps in; verdicts, numbers and figures out."""
