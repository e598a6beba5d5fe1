"""What three selection rules make of a frontier as the budget drains: a slider over r."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from bavt_minimal.views.frontier import render_frontier

BUDGETS = (16, 64, 256, 1024, 16384)


def r_slider(
    values: Sequence[float],
    visits: Sequence[int],
    *,
    total_budget: int = 64,
    constant: float = 1.0,
    names: Sequence[str] | None = None,
) -> widgets.VBox:
    """Sliders for r, the share of the budget left, and for UCB's constant c; a menu for the size of the budget.

    `values` and `visits` (N,) as the rules take them. Arrow keys move a slider that has the focus. Needs a running
    kernel: show `render_frontier(values, visits)` beside it.
    """
    wide = widgets.Layout(width="420px")
    r = widgets.FloatSlider(1.0, min=0.0, max=1.0, step=0.01, description="r left", readout_format=".2f", layout=wide)
    c = widgets.FloatSlider(
        constant, min=0.0, max=max(2.0, constant), step=0.1, description="UCB c", readout_format=".1f", layout=wide
    )
    total = widgets.Dropdown(options=sorted({*BUDGETS, total_budget}), value=total_budget, description="tokens")
    picture = widgets.HTML()

    def show(change: object = None) -> None:
        options = {"total_budget": float(total.value), "constant": c.value, "names": names}
        picture.value = render_frontier(values, visits, [r.value], **options)

    for control in (r, c, total):
        control.observe(show, "value")
    show()
    return widgets.VBox([r, c, total, picture])
