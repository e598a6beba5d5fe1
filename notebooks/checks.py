"""Checks of the exercises: each says which mistake was likely made. Proven against wrong answers in the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Rule = Callable[[Sequence[float], float], Sequence[float]]


def check_selection(rule: Rule) -> str:
    """Check the reader's V^(1/r) rule: (values, r) -> probabilities. Returns what to tell them."""
    values, r = [0.2, 0.5, 0.8], 0.25
    try:
        found = np.asarray(rule(values, r), dtype=float)
    except NotImplementedError:
        return "Not attempted yet: replace the line that raises NotImplementedError."
    right = np.power(values, 1 / r)
    if found.shape != (3,):
        return f"Return one number for each of the {len(values)} values; yours has shape {found.shape}."
    if np.allclose(found, right):
        return "These are the weights. Divide them by their sum to get probabilities."
    right /= right.sum()
    if np.allclose(found, right):
        return "Right."
    power = np.power(values, r)
    if np.allclose(found, power / power.sum()) or np.allclose(found, power):
        return "The exponent is 1/r, not r: with little budget left it must be large."
    if np.allclose(found, np.asarray(values) / np.sum(values)):
        return "This ignores r: the rule would be as broad with an empty budget as with a full one."
    if np.allclose(found, np.asarray(values) == max(values)):
        return "This is greedy whatever is left. That is only the limit of the rule for r -> 0."
    if not np.isclose(found.sum(), 1.0):
        return f"Probabilities sum to 1; yours sum to {found.sum():.3f}."
    return (
        f"For values {values} and r = {r} the answer is {right.round(3).tolist()}, yours is {found.round(3).tolist()}."
    )
