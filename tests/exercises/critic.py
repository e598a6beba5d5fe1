"""Right and wrong answers to the exercises of 02_the_critic: check -> (right, {what is wrong: answer})."""

import numpy as np
import torch
from torch import nn


def values(chances, v0=0.5, scale=0.4, v_min=0.05):
    found, value = [], v0
    for p in chances:
        value = min(1.0, max(v_min, value + scale * (2 * p - 1)))
        found.append(value)
    return found


def summed(chances, v0, scale):
    return v0 + np.cumsum(scale * (2 * np.asarray(chances) - 1))


def gaps(scores, right):
    x, y = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    return x[y][:, None] - x[~y][None, :]


def auc(scores, right):
    return ((gaps(scores, right) > 0) + 0.5 * (gaps(scores, right) == 0)).mean()


def means(scores, right):
    return scores[right == 1].mean() - scores[right == 0].mean()


class Predictor(nn.Module):
    def __init__(self, hidden_dim):
        super().__init__()
        self.first = nn.Linear(hidden_dim, 2 * hidden_dim)
        self.last = nn.Linear(2 * hidden_dim, 1)

    def forward(self, states):
        return self.last(torch.relu(self.first(states)))


def built(*layers):
    """A class whose network is made of `layers`, each a function of hidden_dim."""
    return lambda hidden_dim: nn.Sequential(*(layer(hidden_dim) for layer in layers))


def wide(h):
    return nn.Linear(h, 2 * h)


def last(h):
    return nn.Linear(2 * h, 1)


def plain(module):
    return lambda h: module()


class Flat(Predictor):
    def forward(self, states):
        return super().forward(states).squeeze(-1)


class Squeezed(Predictor):
    def forward(self, states):
        found = super().forward(states)
        return found if len(states) > 1 else found.squeeze()


class Mean(Predictor):
    def forward(self, states):
        return super().forward(states).mean(0, keepdim=True)


class NoReturn(Predictor):
    def forward(self, states):
        super().forward(states)


class Hidden(nn.Module):
    """Its layers are in a plain list, which torch does not look into."""

    def __init__(self, hidden_dim):
        super().__init__()
        self.layers = [wide(hidden_dim), last(hidden_dim)]

    def forward(self, states):
        return self.layers[1](torch.relu(self.layers[0](states)))


def reliability(p, right, bins=5):
    p, right, rows = np.asarray(p), np.asarray(right), []
    place = np.minimum((p * bins).astype(int), bins - 1)
    for i in range(bins):
        inside = place == i
        if inside.any():
            rows.append((inside.sum(), p[inside].mean(), right[inside].mean()))
    return rows


def open_ended(p, right, bins):
    return reliability(np.asarray(p)[np.asarray(p) < 1], np.asarray(right)[np.asarray(p) < 1], bins)


def edges_below(p, right, bins):
    p, right = np.asarray(p), np.asarray(right)
    place = np.ceil(p * bins).astype(int) - 1
    masks = [place == i for i in range(bins)]
    return [(inside.sum(), p[inside].mean(), right[inside].mean()) for inside in masks if inside.any()]


def edges_below_with_0(p, right, bins):
    return edges_below(np.maximum(p, 1e-12), right, bins)


def bin_of_1(p, right, bins):
    p, right = np.asarray(p), np.asarray(right)
    ones = p == 1
    last = [(ones.sum(), 1.0, right[ones].mean())] if ones.any() else []
    return reliability(p[~ones], right[~ones], bins) + last


def middles(p, right, bins):
    return [(n, (int(min(said, 0.999) * bins) + 0.5) / bins, share) for n, said, share in reliability(p, right, bins)]


def with_empty(p, right, bins):
    found = {int(min(said, 0.999) * bins): (n, said, share) for n, said, share in reliability(p, right, bins)}
    return [found.get(i, (0, 0.0, 0.0)) for i in range(bins)]


def equal_mass(p, right, bins):
    return [(len(part), p[part].mean(), right[part].mean()) for part in np.array_split(np.argsort(p), bins)]


def leaks(build, step, reading):
    usual = build(step, reading)
    return any(build(step, reading._replace(answer=other)) != usual for other in (step.text, "Nowhere at all"))


def swapped(other):
    return lambda build, step, reading: build(step, reading) != build(step, reading._replace(answer=other(step)))


EXERCISES = {
    "check_values": (
        values,
        {
            "absolute": lambda chances, v0, scale, v_min: list(chances),
            "no clip": lambda chances, v0, scale, v_min: summed(chances, v0, scale),
            "clip at the end": lambda chances, v0, scale, v_min: np.clip(summed(chances, v0, scale), v_min, 1),
            "floor 0": lambda chances, v0, scale, v_min: values(chances, v0, scale, 0.0),
            "never negative": lambda chances, v0, scale, v_min: values(
                [(1 + p) / 2 for p in chances], v0, scale, v_min
            ),
            "from the root": lambda chances, v0, scale, v_min: [values([p], v0, scale, v_min)[0] for p in chances],
            "last only": lambda chances, v0, scale, v_min: values(chances, v0, scale, v_min)[-1],
            "root too": lambda chances, v0, scale, v_min: [v0, *values(chances, v0, scale, v_min)],
            "no scale": lambda chances, v0, scale, v_min: values(chances, v0, 1.0, v_min),
            "signs": lambda chances, v0, scale, v_min: values([1 - p for p in chances], v0, scale, v_min),
            "no brackets": lambda chances, v0, scale, v_min: values([scale * p for p in chances], v0, 1.0, v_min),
            "a start of its own": lambda chances, v0, scale, v_min: values(chances, 0.5, scale, v_min),
            "a scale of its own": lambda chances, v0, scale, v_min: values(chances, v0, 0.4, v_min),
            "a floor of its own": lambda chances, v0, scale, v_min: values(chances, v0, scale, 0.05),
            "half the steps": lambda chances, v0, scale, v_min: values(chances, v0, scale, v_min)[::2],
        },
    ),
    "check_auc": (
        auc,
        {
            "reversed": lambda scores, right: 1 - auc(scores, right),
            "ties lost": lambda scores, right: (gaps(scores, right) > 0).mean(),
            "ties won": lambda scores, right: (gaps(scores, right) >= 0).mean(),
            "counts": lambda scores, right: auc(scores, right) * gaps(scores, right).size,
            "all pairs": lambda scores, right: auc(scores, right) * gaps(scores, right).size / len(scores) ** 2,
            "accuracy": lambda scores, right: ((scores > 0.5) == right).mean(),
            "one pair for each": lambda scores, right: np.mean(
                [a > b for a, b in zip(scores[right == 1], scores[right == 0], strict=False)]
            ),
            "no return": lambda scores, right: None,
            "numbers as a mask": lambda scores, right: auc(scores[right], scores[~right]),
            "means": means,
            "one for each": lambda scores, right: (gaps(scores, right) > 0).mean(1),
            "constant": lambda scores, right: 0.5,
        },
    ),
    "check_predictor": (
        Predictor,
        {
            "no ReLU": built(wide, last),
            "sigmoid": built(wide, plain(nn.ReLU), last, plain(nn.Sigmoid)),
            "ReLU at the end": built(wide, plain(nn.ReLU), last, plain(nn.ReLU)),
            "tanh": built(wide, plain(nn.Tanh), last),
            "not doubled": built(lambda h: nn.Linear(h, h), plain(nn.ReLU), lambda h: nn.Linear(h, 1)),
            "no bias": built(
                lambda h: nn.Linear(h, 2 * h, bias=False), plain(nn.ReLU), lambda h: nn.Linear(2 * h, 1, bias=False)
            ),
            "a layer more": built(wide, plain(nn.ReLU), lambda h: nn.Linear(2 * h, 2 * h), plain(nn.ReLU), last),
            "flat": Flat,
            "squeezed": Squeezed,
            "mean": Mean,
            "hidden from torch": Hidden,
            "forward without return": NoReturn,
            "no module": lambda h: lambda states: states[:, :1],
        },
    ),
    "check_reliability": (
        reliability,
        {
            "1 is lost": open_ended,
            "0 is lost": edges_below,
            "edges to the lower bin": edges_below_with_0,
            "1 has a bin of its own": bin_of_1,
            "middles": middles,
            "empty bins": with_empty,
            "equal mass": equal_mass,
            "downward": lambda p, right, bins: reliability(p, right, bins)[::-1],
            "mixed up": lambda p, right, bins: [(n, share, said) for n, said, share in reliability(p, right, bins)],
            "of all": lambda p, right, bins: [
                (n, said, share * n / len(p)) for n, said, share in reliability(p, right, bins)
            ],
            "sums": lambda p, right, bins: [(n, said * n, share * n) for n, said, share in reliability(p, right, bins)],
            "pairs": lambda p, right, bins: [row[1:] for row in reliability(p, right, bins)],
            "one bin": lambda p, right, bins: [(len(p), np.mean(p), np.mean(right))],
            "the last share only": lambda p, right, bins: [
                (n, said, float(share > 0.5)) for n, said, share in reliability(p, right, bins)
            ],
        },
    ),
    "check_leaks": (
        leaks,
        {
            "gold in the prompt": lambda build, step, reading: reading.answer in build(step, reading),
            "always": lambda build, step, reading: True,
            "never": lambda build, step, reading: False,
            "inverted": lambda build, step, reading: not leaks(build, step, reading),
            "one other name": swapped(lambda step: "Nowhere at all"),
            "the step's text": swapped(lambda step: step.text),
            "equal in place of different": lambda build, step, reading: (
                not swapped(lambda step: "Nowhere at all")(build, step, reading)
            ),
            "a text": lambda build, step, reading: build(step, reading),
            "same length": swapped(lambda step: "Northwest Harbery"),
            "any repeat": lambda build, step, reading: (
                build(step, reading).count(step.text) > 2 or leaks(build, step, reading)
            ),
        },
    ),
}
