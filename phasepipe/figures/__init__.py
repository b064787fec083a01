"""Figures (``<what>_figure``), their panels (``<what>_panel``) and the tables behind them (``<what>_table``).

A panel draws into Axes that it is given and sets no style, so that figures and notebooks share it.
"""
