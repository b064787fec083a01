"""Probability of recovery against quantities known early in a run, for every N."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.figures.style import PAGE_WIDTH, new_figure, paper_style, size_colours, size_markers

LABELS = {
    "initial_overlap": r"$|m|$ at $t = 0$",
    "overlap": r"$|m|$ at the median $t_\mathrm{BBP}$",
    "outlier_overlap": r"predicted $q$ at the median $t_\mathrm{BBP}$",
}


@paper_style()
def fate_figure(cells: xr.Dataset) -> Figure:
    """Share of recovered runs in bins of an early quantity, one panel per quantity.

    The legends give the area under the receiver operating characteristic (AUC) with its interval.

    Parameters
    ----------
    cells
        One cell per N: ``probability``, ``probability_low``, ``probability_high``, ``bin_median``
        (N, quantity, bin), ``auc``, ``auc_low``, ``auc_high`` (N, quantity), ``cell_alpha`` (N).
        The coordinate ``quantity`` holds the keys of ``LABELS``.
    """
    figure = new_figure(PAGE_WIDTH, 0.36)
    panels = figure.subplots(1, len(LABELS), sharey=True)
    sizes = [int(N) for N in cells["N"].values]
    colours, markers = size_colours(sizes), size_markers(sizes)
    for axes, (quantity, label) in zip(panels, LABELS.items(), strict=True):
        for N in sizes:
            cell = cells.sel(N=N, quantity=quantity)
            if not np.isfinite(cell["auc"]):
                continue
            p, low, high = (cell[f"probability{end}"].values for end in ("", "_low", "_high"))
            axes.errorbar(
                cell["bin_median"].values,
                p,
                yerr=[p - low, high - p],
                color=colours[N],
                marker=markers[N],
                capsize=1.5,
                elinewidth=0.8,
                label=f"{N}, {float(cell['cell_alpha']):.3g}: {float(cell['auc']):.2f} "
                f"[{float(cell['auc_low']):.2f}, {float(cell['auc_high']):.2f}]",
            )
        axes.set_xlabel(label)
        axes.set_ylim(-0.03, 1.5)  # room for the legend
        axes.set_yticks(np.linspace(0, 1, 6))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", fontsize=6, title="N, α: AUC", title_fontsize=6)
    panels[0].set_ylabel("P(recovered)")
    return figure
