"""A mistake is not made good by what follows it.

A critic that sees one page only gives full marks to a right reading of the wrong page. With residuals added up, two of
these lift a wrong path to the value of a right one. So a step is judged with all before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..critic import residual
from ..steps import Step


def path_residuals(probabilities: Sequence[float], scale: float, steps: Sequence[Step]) -> list[float]:
    """eta (2P - 1) for each step, P the chance that it and all before it are right.

    `probabilities` are the steps' own, each given the page that it read. The earlier residuals that a step carries are
    of the same form, so the last of them holds the chance of all before.
    """
    return [residual(p * chance_before(step, scale), scale) for p, step in zip(probabilities, steps, strict=True)]


def chance_before(step: Step, scale: float) -> float:
    """The chance that all before a step is right, read back from the last residual; 1 at the start."""
    if not step.residuals or not scale:
        return 1.0
    return min(1.0, max(0.0, (step.residuals[-1] / scale + 1.0) / 2.0))
