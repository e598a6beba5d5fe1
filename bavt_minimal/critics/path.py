"""A mistake is not made good by what follows it.

A critic that sees one page only gives full marks to a right reading of the wrong page. With residuals added up, two of
these lift a wrong path to the value of a right one. So a step is judged with all before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..residual import chance, residual
from ..steps import Step


def path_residuals(probabilities: Sequence[float], scale: float, steps: Sequence[Step]) -> list[float]:
    """eta (2P - 1) for each step, P the chance that it and all before it are right.

    `probabilities` are the steps' own, each given the page that it read. The earlier residuals that a step carries are
    of the same form, so the last of them holds the chance of all before.
    """
    before = [chance(step.residuals[-1], scale) if step.residuals else 1.0 for step in steps]
    return [residual(p * so_far, scale) for p, so_far in zip(probabilities, before, strict=True)]
