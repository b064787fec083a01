"""The report of a sweep: one HTML file with text, figures, tables and interactive plots.

``sentences`` writes the results as sentences and ``tables`` as tables, ``explorer`` selects the runs for the
interactive plots, ``gallery`` collects the figures with their captions, and ``page`` fills the template.
"""
