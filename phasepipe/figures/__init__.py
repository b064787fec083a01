"""Figures (``<what>_figure``) and the tables of the numbers that they show (``<what>_table``)."""
