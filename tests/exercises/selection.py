"""Right and wrong answers to the exercises of 03_budget_aware_selection: check -> (right, {what is wrong: answer})."""

import math

import numpy as np


def share(better, other, odds):
    return math.log(better / other) / math.log(odds)


def normalized(weights):
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum()


def from_logs(logs):
    return normalized(np.exp(logs - logs.max()))


def budget_aware(values, visits, r, alpha_max=50.0, decay=0.85):
    alpha = alpha_max if r * alpha_max <= 1 else 1 / r
    logs = alpha * np.log(values) + np.asarray(visits) * np.log(decay)
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def exponent(r, alpha_max):
    return alpha_max if r * alpha_max <= 1 else 1 / r


def variant(logs):
    """A rule in log space from (values, visits, alpha, decay, r, alpha_max) -> logarithms of the weights."""
    return lambda values, visits, r, alpha_max, decay: from_logs(
        logs(np.log(values), visits, exponent(r, alpha_max), math.log(decay), r, alpha_max)
    )


def ucb_score(node_value, visit_count, total_budget, remaining_budget, c=1.0):
    if visit_count == 0:
        return math.inf
    bonus = c / remaining_budget * math.sqrt(math.log(total_budget + 1) / visit_count)
    return node_value / visit_count + bonus


def bonus_score(bonus, mean=lambda value, n: value / n):
    return lambda value, n, total, left, c: math.inf if n == 0 else mean(value, n) + bonus(n, total, left, c)


def with_epsilon(value, n, total, left, c):
    n = n or 1e-8
    return value / n + c / left * math.sqrt(math.log(total + 1) / n)


def fixed_total(value, n, total, left, c):
    return math.inf if n == 0 else value / n + c / left * math.sqrt(math.log(101) / n)


def no_guard(value, n, total, left, c):
    return value / n + c / left * math.sqrt(math.log(total + 1) / n)


def ucb_rule(values, visits, r, c=1.0, total_budget=64.0, scaled=False):
    weight = c * r if scaled else c / (r * total_budget)
    scores = np.asarray(values) + weight * np.sqrt(np.log(total_budget + 1) / (np.asarray(visits) + 1))
    winners = scores == scores.max()
    return winners / winners.sum()


def ucb_variant(weight, mean=lambda v, n: v, seen=1, finish=None):
    def rule(values, visits, r, c, total, scaled):
        n = visits + seen
        scores = mean(values, n) + weight(r, c, total, scaled) * np.sqrt(np.log(total + 1) / n)
        return finish(scores) if finish else normalized(scores == scores.max())

    return rule


def weight(r, c, total, scaled):
    return c * r if scaled else c / (r * total)


EXERCISES = {
    "check_share": (
        share,
        {
            "the exponent": lambda better, other, odds: math.log(odds) / math.log(better / other),
            "no logarithm": lambda better, other, odds: better / other / odds,
            "one logarithm": lambda better, other, odds: math.log(better / other),
            "a chance": lambda better, other, odds: math.log(better / other) / math.log(odds / (odds + 1)),
            "upside down": lambda better, other, odds: math.log(other / better) / math.log(odds),
            "difference": lambda better, other, odds: (better - other) / math.log(odds),
            "odds as a chance": lambda better, other, odds: math.log(better / other) / math.log(odds + 1),
            "no share": lambda better, other, odds: odds,
        },
    ),
    "check_rule": (
        budget_aware,
        {
            "weights": lambda v, n, r, cap, decay: v ** exponent(r, cap) * decay**n,
            "logarithms": lambda v, n, r, cap, decay: exponent(r, cap) * np.log(v) + n * np.log(decay),
            "weights for logarithms": lambda v, n, r, cap, decay: from_logs(v ** exponent(r, cap) * decay**n),
            "values for logarithms": lambda v, n, r, cap, decay: from_logs(exponent(r, cap) * v + n * math.log(decay)),
            "decay^visits added": lambda v, n, r, cap, decay: from_logs(exponent(r, cap) * np.log(v) + decay**n),
            "no visits": variant(lambda v, n, alpha, decay, r, cap: alpha * v),
            "decay inside": variant(lambda v, n, alpha, decay, r, cap: alpha * (v + n * decay)),
            "exponent r": variant(lambda v, n, alpha, decay, r, cap: r * v + n * decay),
            "no exponent": variant(lambda v, n, alpha, decay, r, cap: v + n * decay),
            "visits help": variant(lambda v, n, alpha, decay, r, cap: alpha * v - n * decay),
            "decay without its logarithm": lambda v, n, r, cap, decay: from_logs(
                exponent(r, cap) * np.log(v) + n * decay
            ),
            "always the cap": variant(lambda v, n, alpha, decay, r, cap: cap * v + n * decay),
            "capped, r may not be 0": lambda v, n, r, cap, decay: budget_aware(v, n, r, min(cap, 1 / float(r)), decay),
            "capped too early": lambda v, n, r, cap, decay: budget_aware(
                v, n, 0.0 if 2 * r * cap <= 3 else r, cap, decay
            ),
            "no cap": variant(lambda v, n, alpha, decay, r, cap: v / max(r, 1e-6) + n * decay),
            "greedy at r = 0": lambda v, n, r, cap, decay: (
                budget_aware(v, n, r, cap, decay) if r else normalized(v == v.max())
            ),
            "a decay of its own": lambda v, n, r, cap, decay: budget_aware(v, n, r, cap),
            "underflow": lambda v, n, r, cap, decay: normalized(v ** exponent(r, cap) * decay**n),
            "underflow, patched": lambda v, n, r, cap, decay: normalized(v ** exponent(r, cap) * decay**n + 1e-300),
            "twice the weights": lambda v, n, r, cap, decay: 2 * budget_aware(v, n, r, cap, decay),
            "half the exponent": variant(lambda v, n, alpha, decay, r, cap: alpha / 2 * v + n * decay),
            "one number": lambda v, n, r, cap, decay: float(v.max()),
        },
    ),
    "check_ucb": (
        (ucb_score, 10.0),
        {
            "value not divided": (
                bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log(t + 1) / n), lambda value, n: value),
                10.0,
            ),
            "ln total": (bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log(t) / n)), 10.0),
            "visits outside": (bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log(t + 1)) / n), 10.0),
            "no root": (bonus_score(lambda n, t, b, c: c / b * math.log(t + 1) / n), 10.0),
            "no visits": (bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log(t + 1))), 10.0),
            "log10": (bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log10(t + 1) / n)), 10.0),
            "repaired": (bonus_score(lambda n, t, b, c: c * b / t * math.sqrt(math.log(t + 1) / n)), 0.1),
            "times remaining": (bonus_score(lambda n, t, b, c: c * b * math.sqrt(math.log(t + 1) / n)), 0.1),
            "no constant": (bonus_score(lambda n, t, b, c: 1 / b * math.sqrt(math.log(t + 1) / n)), 10.0),
            "bonus alone": (
                bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log(t + 1) / n), lambda value, n: 0.0),
                10.0,
            ),
            "visits + total": (bonus_score(lambda n, t, b, c: c / b * math.sqrt(math.log(t + 1 + n) / n)), 10.0),
            "a total of its own": (fixed_total, 10.0),
            "unvisited not handled": (no_guard, 10.0),
            "visits + 1e-8": (with_epsilon, 10.0),
            "minus infinity": (lambda value, n, *rest: ucb_score(value, n, *rest) if n else -math.inf, 10.0),
            "1e-8 added to the visits": (
                lambda value, n, *rest: no_guard(value, n + 1e-8, *rest),
                10.0,
            ),
            "all under the root": (bonus_score(lambda n, t, b, c: math.sqrt(c / b * math.log(t + 1) / n)), 10.0),
            "nine times more": (ucb_score, 9.0),
            "the other way around": (ucb_score, 0.1),
            "nothing changed": (ucb_score, 1.0),
            "a text": (ucb_score, "10"),
            "scores, not bonuses": (ucb_score, 1.4),
        },
    ),
    "check_case": (
        lambda: (1_000_000, 1_000_000, 1.2, 2),
        {
            "a small budget": lambda: (64, 64, 1.2, 2),
            "too large a budget": lambda: (1e9, 1e9, 1.2, 2),
            "more left than there was": lambda: (1000, 10**6, 1.2, 2),
            "not tried": lambda: (10**6, 10**6, 0.0, 0),
            "more than a value can be": lambda: (10**6, 10**6, 100.0, 2),
            "three numbers": lambda: (10**6, 1.2, 2),
        },
    ),
    "check_frontier": (
        ucb_rule,
        {
            "scaled ignored": ucb_variant(lambda r, c, total, scaled: c / (r * total)),
            "always scaled": ucb_variant(lambda r, c, total, scaled: c * r),
            "swapped": ucb_variant(lambda r, c, total, scaled: weight(r, c, total, not scaled)),
            "value divided": ucb_variant(weight, mean=lambda v, n: v / n),
            "no first visit": ucb_variant(weight, seen=0),
            "remaining is r": ucb_variant(lambda r, c, total, scaled: c * r if scaled else c / r),
            "times the tokens left": ucb_variant(
                lambda r, c, total, scaled: c * r * total if scaled else 3 * c / (r * total)
            ),
            "scaled by what is gone": ucb_variant(
                lambda r, c, total, scaled: c * (1 - r) if scaled else c / (r * total)
            ),
            "guide's twice": ucb_variant(lambda r, c, total, scaled: c * r if scaled else 20 * c / (r * total)),
            "a total of its own": lambda v, n, r, c, total, scaled: ucb_rule(v, n, r, c, 64.0, scaled),
            "no c": lambda v, n, r, c, total, scaled: ucb_rule(v, n, r, 1.0, total, scaled),
            "ln total": lambda v, n, r, c, total, scaled: normalized(
                (s := v + weight(r, c, total, scaled) * np.sqrt(np.log(total) / (n + 1))) == s.max()
            ),
            "the logarithm of the visits": lambda v, n, r, c, total, scaled: normalized(
                (s := v + weight(r, c, total, scaled) * np.sqrt(np.log(n.sum() + 1) / (n + 1))) == s.max()
            ),
            "the logarithm of what remains": lambda v, n, r, c, total, scaled: normalized(
                (s := v + weight(r, c, total, scaled) * np.sqrt(np.log(r * total + 1) / (n + 1))) == s.max()
            ),
            "first of a tie": ucb_variant(weight, finish=lambda scores: np.eye(len(scores))[scores.argmax()]),
            "draws": ucb_variant(weight, finish=normalized),
            "divides by 0": lambda values, visits, *rest: [v / int(n) for v, n in zip(values, visits, strict=True)],
            "the wrong sign": ucb_variant(lambda r, c, total, scaled: -weight(r, c, total, scaled)),
            "scores": ucb_variant(weight, finish=lambda scores: scores),
            "greedy": ucb_variant(lambda r, c, total, scaled: 0.0),
            "the index": ucb_variant(weight, finish=lambda scores: scores.argmax()),
        },
    ),
}
