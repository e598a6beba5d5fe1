"""Pick a step, read its page, see what each critic says, decide for yourself, and then show the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from bavt_minimal.views.critics import Case, render_case


def critic_explorer(cases: Sequence[Case]) -> widgets.VBox:
    """A menu of steps, a box that shows the truth, and the picture. Another step hides the truth again."""
    if not cases:
        raise ValueError("cases must have one step or more, got none")
    names = [(f"{number}. {case.step or '(empty)'}", number - 1) for number, case in enumerate(cases, 1)]
    step = widgets.Dropdown(options=names, description="Step:")
    shown = widgets.Checkbox(False, description="show the truth", indent=False)
    picture = widgets.HTML()

    def draw(change: Any = None) -> None:
        picture.value = render_case(cases[step.value], shown.value)

    def turn(change: Any) -> None:
        shown.value = False
        draw()

    step.observe(turn, "value")
    shown.observe(draw, "value")
    draw()
    return widgets.VBox([widgets.HBox([step, shown]), picture])
