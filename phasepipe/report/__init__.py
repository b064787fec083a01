"""The report of a sweep: one HTML file that holds its text, figures, numbers and scripts.

``findings`` puts results into sentences, ``tables`` into rows, ``explorer`` chooses the runs that a reader
can look at one by one, ``gallery`` knows the figures and their captions, ``page`` puts all into the template.
"""
