"""Right and wrong answers to the exercises of 00_first_search: check -> (right, {what is wrong: answer})."""

import numpy as np


def normalized(weights):
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum()


def values(residuals, start=0.5, v_min=0.05):
    found, value = [], start
    for residual in residuals:
        value = min(1.0, max(v_min, value + residual))
        found.append(value)
    return found


def walk(residuals, turn, carry=None):
    """Values along a path; `turn` makes the value that is kept, `carry` the one to go on from."""
    found, value = [], 0.5
    for residual in residuals:
        found.append(turn(value + residual))
        value = (carry or turn)(value + residual)
    return found


def ratio(total, spent):
    return min(1 - spent[name] / total[name] for name in total)


def left(total, spent):
    return [1 - spent[name] / total[name] for name in total]


EXERCISES = {
    "check_values": (
        values,
        {
            "not kept in the range": lambda residuals: 0.5 + np.cumsum(residuals),
            "kept in the range at the end": lambda residuals: np.clip(0.5 + np.cumsum(residuals), 0.05, 1),
            "added to the question": lambda residuals: np.clip(0.5 + np.asarray(residuals), 0.05, 1),
            "from 0": lambda residuals: values(residuals, v_min=0.0),
            "no start": lambda residuals: np.cumsum(residuals),
            "nothing returned": lambda residuals: None,
            "min and max exchanged": lambda residuals: walk(residuals, lambda v: max(1.0, min(0.05, v))),
            "residuals kept in the range": lambda residuals: 0.5 + np.cumsum(np.clip(residuals, 0.05, 1)),
            "returned before the range": lambda residuals: walk(
                residuals, lambda v: v, lambda v: min(1.0, max(0.05, v))
            ),
            "no floor": lambda residuals: walk(residuals, lambda v: min(1.0, v)),
            "the last only": lambda residuals: values(residuals)[-1],
            "the start too": lambda residuals: [0.5, *values(residuals)],
            "start is fixed": lambda residuals, start=0.5, v_min=0.05: values(residuals, 0.5, v_min),
            "v_min is fixed": lambda residuals, start=0.5, v_min=0.05: values(residuals, start),
            "a mean": lambda residuals: np.cumsum(residuals) / np.arange(1, len(residuals) + 1) + 0.5,
        },
    ),
    "check_ratio": (
        ratio,
        {
            "the largest": lambda total, spent: max(left(total, spent)),
            "spent": lambda total, spent: 1 - ratio(total, spent),
            "mean": lambda total, spent: np.mean(left(total, spent)),
            "product": lambda total, spent: np.prod(left(total, spent)),
            "added": lambda total, spent: 1 - sum(spent.values()) / sum(total.values()),
            "tokens only": lambda total, spent: left(total, spent)[0],
            "tool calls only": lambda total, spent: left(total, spent)[1],
            "units left": lambda total, spent: min(total[name] - spent[name] for name in total),
        },
    ),
    "check_selection": (
        lambda values, r: normalized(np.power(values, 1 / r)),
        {
            "weights": lambda values, r: np.power(values, 1 / r),
            "exponent r": lambda values, r: normalized(np.power(values, r)),
            "no exponent": lambda values, r: normalized(values),
            "greedy": lambda values, r: np.asarray(values) == max(values),
            "not normalized": lambda values, r: np.asarray(values) / 2,
            "softmax": lambda values, r: normalized(np.exp(np.asarray(values) / r)),
            "one number": lambda values, r: max(values),
            "no return": lambda values, r: None,
            "sorted": lambda values, r: np.sort(normalized(np.power(values, 1 / r))),
            "capped at 5": lambda values, r: normalized(np.power(values, 1 / max(r, 0.2))),
            "capped at 10": lambda values, r: normalized(np.power(values, min(1 / r, 10))),
            "a power that is not divided by its sum": lambda values, r: np.power(values, 1 / r) / max(values),
        },
    ),
}
