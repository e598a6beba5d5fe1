"""Right and wrong answers to the exercises of 06_when_it_pays: check -> (right, {what is wrong: answer})."""

import math

import numpy as np
from scipy.stats import nbinom


def bound(steps, p_min, eps):
    bits = -math.log(eps)
    return math.ceil((steps + math.sqrt(2 * steps * bits) + 2 * bits) / p_min)


def exact(steps, p, eps):
    return steps + nbinom.ppf(1 - eps, steps, p)


def least(v_min, alpha_max, nodes, drawn):
    weight = v_min**alpha_max
    return weight / (weight + (nodes - 1)) * drawn


def schedule(r):
    return 1 + 9 * (1 - r) ** 2


def honest(development, test):
    chosen = development.mean(axis=1).argmax()
    gains = 100 * (test[chosen] - test[0])
    return chosen, gains.mean(), 1.96 * gains.std(ddof=1) / math.sqrt(len(gains))


def terms(steps, eps, log=math.log):
    bits = log(1 / eps)
    return steps, math.sqrt(2 * steps * bits), 2 * bits


def gains_of(development, test):
    return 100 * (test[development.mean(axis=1).argmax()] - test[0])


def changed(pick=None, gain=None, half=None):
    """The honest choice with one part of it replaced; each part is a function of (development, test)."""

    def choose(development, test):
        found = list(honest(development, test))
        if pick:
            row = pick(development, test)
            gains = 100 * (test[row] - test[0])
            found = [row, gains.mean(), 1.96 * gains.std(ddof=1) / math.sqrt(len(gains))]
        if gain:
            found[1] = gain(development, test)
        if half:
            found[2] = half(development, test)
        return tuple(found)

    return choose


def clearly_ahead(development, test):
    best = development.mean(axis=1).argmax()
    gains = development[best] - development[0]
    return best if gains.mean() > 1.96 * gains.std(ddof=1) / math.sqrt(len(gains)) else 0


def apart(development, test):
    chosen = development.mean(axis=1).argmax()
    return 196 * math.sqrt((test[chosen].var(ddof=1) + test[0].var(ddof=1)) / test.shape[1])


EXERCISES = {
    "check_vote": (
        lambda: {"overconfidence": 100.0, "p": 0.7, "tilt": 1.0, "chains": 12},
        {
            "the search wins": lambda: {},
            "not told apart": lambda: {"spread": 0.9},
            "a critic that cannot rank": lambda: {"auc": 0.6, "p": 0.7, "tilt": 1.0},
            "a budget of its own": lambda: {"tokens": 9, "p": 0.7},
            "no such field": lambda: {"calibration": 0.1},
            "no chance": lambda: {"p": 70},
            "too long": lambda: {"chains": 500},
            "no dictionary": lambda: 0.7,
        },
    ),
    "check_bound": (
        bound,
        {
            "not rounded": lambda k, p, eps: sum(terms(k, eps)) / p,
            "rounded down": lambda k, p, eps: math.floor(sum(terms(k, eps)) / p),
            "one ln(1/eps)": lambda k, p, eps: math.ceil((k + terms(k, eps)[1] + terms(k, eps)[2] / 2) / p),
            "root of K ln(1/eps)": lambda k, p, eps: math.ceil((k + terms(k, eps)[1] / 2**0.5 + terms(k, eps)[2]) / p),
            "no last term": lambda k, p, eps: math.ceil((k + terms(k, eps)[1]) / p),
            "no root": lambda k, p, eps: math.ceil((k + terms(k, eps)[2]) / p),
            "the mean": lambda k, p, eps: math.ceil(k / p),
            "K alone divided": lambda k, p, eps: math.ceil(k / p + sum(terms(k, eps)[1:])),
            "ln of eps": lambda k, p, eps: math.ceil((k + terms(k, eps)[1] - terms(k, eps)[2]) / p),
            "rounded too early": lambda k, p, eps: math.ceil(1 / p) * sum(terms(k, eps)),
            "multiplied": lambda k, p, eps: math.ceil(sum(terms(k, eps)) * p),
            "not divided": lambda k, p, eps: math.ceil(sum(terms(k, eps))),
            "log10": lambda k, p, eps: math.ceil(sum(terms(k, eps, math.log10)) / p),
            "another": lambda k, p, eps: 1,
            "a table": lambda k, p, eps: bound(5, 0.3, 0.02),
            "text": lambda k, p, eps: str(bound(k, p, eps)),
        },
    ),
    "check_exact": (
        exact,
        {
            "failures only": lambda k, p, eps: nbinom.ppf(1 - eps, k, p),
            "one added": lambda k, p, eps: 1 + nbinom.ppf(1 - eps, k, p),
            "eps": lambda k, p, eps: k + nbinom.ppf(eps, k, p),
            "median": lambda k, p, eps: k + nbinom.median(k, p),
            "mean": lambda k, p, eps: k / p,
            "one step": lambda k, p, eps: exact(1, p, eps),
            "K times one step": lambda k, p, eps: k * exact(1, p, eps),
            "failures for successes": lambda k, p, eps: k + nbinom.ppf(1 - eps, k, 1 - p),
            "the bound": bound,
            "a table": lambda k, p, eps: exact(4, 0.4, 0.05),
            "text": lambda k, p, eps: "22",
        },
    ),
    "check_least": (
        least,
        {
            "not drawn": lambda v, a, n, q: v**a / (v**a + n - 1),
            "one node too many": lambda v, a, n, q: v**a / (v**a + n) * q,
            "no alpha": lambda v, a, n, q: v / (v + n - 1) * q,
            "alpha turned over": lambda v, a, n, q: least(v, 1 / a, n, q),
            "all alike": lambda v, a, n, q: q / n,
            "not normalized": lambda v, a, n, q: v**a * q,
            "others only": lambda v, a, n, q: v**a / max(1, n - 1) * q,
            "1 for itself": lambda v, a, n, q: v**a / n * q,
            "times alpha": lambda v, a, n, q: v * a / (v * a + n - 1) * q,
            "a table": lambda v, a, n, q: least(0.2, 3.0, 5, 0.6),
            "v_min kept from 0": lambda v, a, n, q: least(max(v, 0.001), a, n, q),
        },
    ),
    "check_schedule": (
        schedule,
        {
            "no cap": lambda r: 1 / r,
            "infinite at 0": lambda r: 1 / r if r else math.inf,
            "far above the cap": lambda r: 1 / max(r, 1e-9),
            "constant": lambda r: 4.0,
            "reversed": lambda r: 1 + 9 * r,
            "aggressive from the start": lambda r: 50 - 10 * r,
            "broad to the end": lambda r: 1 + (1 - r),
            "negative": lambda r: 1 - 2 * r,
            "text": lambda r: "1/r",
        },
    ),
    "check_honest": (
        honest,
        {
            "chosen on test": changed(pick=lambda d, t: t.mean(axis=1).argmax()),
            "chosen on both": changed(pick=lambda d, t: np.hstack([d, t]).mean(axis=1).argmax()),
            "only if clearly ahead": changed(pick=clearly_ahead),
            "one off": changed(pick=lambda d, t: d[1:].mean(axis=1).argmax()),
            "row 0 left out": changed(pick=lambda d, t: 1 + d[1:].mean(axis=1).argmax()),
            "the other axis": lambda d, t: (d.shape[1] - 1, *honest(d, t)[1:]),
            "the worst": changed(pick=lambda d, t: d.mean(axis=1).argmin()),
            "gain on development": changed(gain=lambda d, t: 100 * (d.mean(axis=1).max() - d[0].mean())),
            "accuracy": changed(gain=lambda d, t: 100 * t[d.mean(axis=1).argmax()].mean()),
            "share of 1": changed(gain=lambda d, t: gains_of(d, t).mean() / 100),
            "the other way around": changed(gain=lambda d, t: -gains_of(d, t).mean()),
            "another gain": changed(gain=lambda d, t: 1000.0),
            "standard error": changed(half=lambda d, t: gains_of(d, t).std(ddof=1) / math.sqrt(d.shape[1] + 20)),
            "whole width": changed(half=lambda d, t: 2 * honest(d, t)[2]),
            "not divided": changed(half=lambda d, t: 1.96 * gains_of(d, t).std(ddof=1)),
            "no root": changed(half=lambda d, t: 1.96 * gains_of(d, t).std(ddof=1) / t.shape[1]),
            "not paired": changed(half=apart),
            "another width": changed(half=lambda d, t: 1000.0),
            "a number": lambda d, t: honest(d, t)[1],
        },
    ),
}
