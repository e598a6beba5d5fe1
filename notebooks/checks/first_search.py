"""Checks of 00_first_search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from . import exercise

Rule = Callable[[Sequence[float], float], Sequence[float]]
PATHS = ([0.2, 0.4, 0.3, -0.35], [-0.3, -0.4, 0.2], [0.1, -0.25, 0.05])


@exercise
def check_values(values: Callable[..., Sequence[float]]) -> str:
    """The reader's values along a path: residuals -> V after each step."""
    for path in PATHS:
        found, right, value = np.atleast_1d(np.asarray(values(path), dtype=float)), [], 0.5
        for residual in path:
            value = min(1.0, max(0.05, value + residual))
            right.append(value)
        said = (
            f"For the residuals {path} the values are {np.round(right, 3).tolist()}, yours {found.round(3).tolist()}."
        )
        if found.shape == (len(path) + 1,) and np.allclose(found[1:], right):
            return "Leave out the start: one value for each step."
        if np.isnan(found).all():
            return "Your function returned no numbers. Is a `return` missing?"
        if found.shape != (len(path),):
            return f"Return a list with one value for each of the {len(path)} steps."
        if np.allclose(found, right):
            continue
        sums = 0.5 + np.cumsum(path)
        if np.allclose(found, sums):
            return f"{said} Keep each value from 0.05 to 1."
        if np.allclose(found, np.clip(sums, 0.05, 1)):
            return f"{said} Keep the value in the range at each step, and go on from there: what goes beyond 1 is lost."
        if np.allclose(found, np.clip(0.5 + np.asarray(path), 0.05, 1)):
            return f"{said} A residual is added to the value of the parent, not to that of the question."
        if np.allclose(found, np.cumsum(path)):
            return f"{said} The question itself is worth 0.5."
        if np.allclose(np.clip(found, 0.05, 1), right):
            return f"{said} You go on from the value kept in the range: return that one too."
        if np.allclose(found, 0.5 + np.cumsum(np.clip(path, 0.05, 1))):
            return f"{said} It is the value that is kept from 0.05 to 1, not the residual: a residual may be negative."
        if np.isin(found, (0.05, 1.0)).all():
            return f"{said} `min` and `max` are the wrong way around: min(1.0, ...) keeps a number from passing 1."
        if np.isclose(found.min(), 0.0) or found.min() < 0.05:
            return f"{said} The least value is 0.05, not 0: a node that looks bad must stay possible."
        return said
    found, right = np.asarray(values([0.2, -0.9, 0.2], start=0.3, v_min=0.1), dtype=float), [0.5, 0.1, 0.3]
    if not np.isclose(found[0], right[0]):
        return f"With start=0.3 a first residual of 0.2 leads to 0.5, yours to {found[0]:.3f}: begin with `start`."
    if not np.allclose(found, right):
        return f"With v_min=0.1 no value is below 0.1; your least is {found.min():.3f}: the lower end is `v_min`."
    return "Right."


@exercise
def check_ratio(ratio: Callable[[dict[str, int], dict[str, int]], float]) -> str:
    """The reader's r: (total, spent) -> the smallest share left."""
    total = {"tokens": 200, "tool_calls": 10}
    cases = [{"tokens": 50, "tool_calls": 6}, {"tokens": 170, "tool_calls": 2}, {"tokens": 0, "tool_calls": 10}]
    found = np.array([float(ratio(dict(total), dict(spent))) for spent in cases])
    used = np.array([[spent[name] / total[name] for name in total] for spent in cases])
    left = 1.0 - used
    right = left.min(axis=1)
    if np.allclose(found, right):
        return "Right."
    first = int(np.argmax(~np.isclose(found, right)))
    said = f"With {cases[first]} spent of {total} r is {right[first]:.2f}, yours is {found[first]:.2f}."
    mistakes = {
        "The tighter resource rules: take the smallest share.": left.max(axis=1),
        "That is the largest share spent; r is the smallest share that is left.": used.max(axis=1),
        "That is the smallest share spent; r is the smallest share that is left.": used.min(axis=1),
        "No mean: without tool calls the search is over, however many tokens it has.": left.mean(axis=1),
        "No product: one half of each resource left is one half.": left.prod(axis=1),
        "Tokens and tool calls cannot be added: take the share of each.": [
            1 - sum(spent.values()) / sum(total.values()) for spent in cases
        ],
        "Tool calls are a resource too.": left[:, 0],
        "Tokens are a resource too.": left[:, 1],
    }
    for words, values in mistakes.items():
        if np.allclose(found, values):
            return f"{said} {words}"
    return f"{said} r is a share, from 0 to 1: divide by the total." if found.max() > 1 else said


@exercise
def check_selection(rule: Rule) -> str:
    """The reader's V^(1/r) rule: (values, r) -> probabilities."""
    values, r = [0.5, 0.8, 0.2], 0.25
    found = np.asarray(rule(values, r), dtype=float)
    right = np.power(values, 1 / r)
    if found.shape != (3,):
        hint = " Is a `return` missing?" if np.isnan(found).all() else ""
        return f"Return one number for each of the {len(values)} values; yours has shape {found.shape}.{hint}"
    if np.allclose(found, right):
        return "These are the weights. Divide them by their sum to get probabilities."
    right /= right.sum()
    if np.allclose(found, right):
        for r in (1.0, 0.1, 0.05):
            found, right = np.asarray(rule(values, r), dtype=float), np.power(values, 1 / r)
            if not np.allclose(found, right / right.sum()):
                return (
                    f"At r = {r} the exponent is {1 / r:.0f}. For values {values} the chance of the second is "
                    f"{right[1] / right.sum():.4f}, yours is {found[1]:.4f}."
                )
        return "Right."
    if np.allclose(np.sort(found), np.sort(right)):
        return "The chances are right, but in another order: keep that of `values`, one chance for each node."
    power = np.power(values, r)
    if np.allclose(found, power / power.sum()) or np.allclose(found, power):
        return "The exponent is 1/r, not r: with little budget left it must be large."
    softmax = np.exp(np.asarray(values) / r)
    if np.allclose(found, softmax / softmax.sum()):
        return "This is a softmax of the values. The weight is a power: V to the exponent 1/r."
    if np.allclose(found, np.asarray(values) / np.sum(values)):
        return "This ignores r: the rule would be as broad with an empty budget as with a full one."
    if np.allclose(found, np.asarray(values) == max(values)):
        return "This is greedy whatever is left. That is only the limit of the rule for r -> 0."
    if not np.isclose(found.sum(), 1.0):
        return f"Probabilities sum to 1; yours sum to {found.sum():.3f}."
    return (
        f"For values {values} and r = {r} the answer is {right.round(3).tolist()}, yours is {found.round(3).tolist()}."
    )
