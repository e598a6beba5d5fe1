"""Checks of 03_budget_aware_selection."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import exercise

Array = NDArray[np.float64]


# At which share is one node so many times as likely as another?


@exercise
def check_share(share: Callable[[float, float, float], float]) -> str:
    """The reader's (better, other, odds) -> r."""
    better, other, odds = 0.9, 0.6, 8.0
    found = float(share(better, other, odds))
    ratio = better / other
    # The rule itself is the judge: at the right share the weights stand in these odds.
    if all(
        (r := float(share(a, b, k))) > 0 and math.isclose((a / b) ** (1 / r), k, rel_tol=1e-6)
        for a, b, k in ((better, other, odds), (0.5, 0.25, 4.0), (0.8, 0.7, 100.0))
    ):
        return "Right."
    if math.isclose(found, math.log(odds) / math.log(ratio)):
        return "This is the exponent, 1/r. The question is about r."
    if math.isclose(found, ratio / odds) or math.isclose(found, odds / ratio):
        return "A power is undone by a logarithm, not by a division: (better / other)^(1/r) = odds."
    if math.isclose(found, math.log(ratio)) or math.isclose(found, math.log(odds)):
        return "Both sides need their logarithm: (1/r) ln(better / other) = ln(odds). Solve this for r."
    if math.isclose(found, math.log(ratio) / math.log(odds / (odds + 1))):
        return (
            f"{odds:g} to 1 are the odds, the ratio of the two weights. You take the chance, {odds / (odds + 1):.3f}."
        )
    if found < 0:
        return "A share cannot be negative: one of your logarithms is that of a number below 1. Which?"
    if math.isclose(found, (better - other) / math.log(odds)):
        return "The odds depend on the ratio of the values, not on their difference: that was the first wish."
    if found > 1:
        return f"A share is at most 1; for values {better} and {other} and odds {odds:g} yours is {found:.3f}."
    return (
        f"For values {better} and {other} and odds of {odds:g} your share is {found:.3f}. There the odds would be "
        f"{ratio ** (1 / found) if found else math.inf:.3g}."
    )


# The paper's rule

PaperRule = Callable[[Array, Array, float, float, float], Sequence[float]]
VALUES, VISITS = (0.2, 0.5, 0.8), (0, 3, 1)


def exact(
    values: Sequence[float], visits: Sequence[int], r: float, alpha_max: float, decay: float
) -> tuple[Array, Array]:
    """Weights and probabilities of the paper's rule, in decimals of 60 digits and any exponent."""
    with localcontext(prec=60, Emin=-(10**9), Emax=10**9):
        alpha = Decimal(alpha_max) if r == 0 else min(Decimal(alpha_max), 1 / Decimal(r))
        weights = [Decimal(v) ** alpha * Decimal(decay) ** n for v, n in zip(values, visits, strict=True)]
        return np.array([float(w) for w in weights]), np.array([float(w / sum(weights)) for w in weights])


@exercise
def check_rule(rule: PaperRule) -> str:
    """The reader's (values, visits, r, alpha_max, decay) -> probabilities, against exact decimals."""

    def ask(values: Sequence[float], visits: Sequence[int], *rest: float) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(rule(np.array(values), np.array(visits), *rest), dtype=float)

    def differ(found: Array, right: Array) -> bool:
        return found.shape != right.shape or not np.allclose(found, right, rtol=1e-6, atol=1e-12)

    r, alpha_max, decay = 0.4, 50.0, 0.85
    found = ask(VALUES, VISITS, r, alpha_max, decay)
    if found.shape != (3,):
        return f"Return one probability for each of the 3 nodes; yours has shape {found.shape}."
    weights, right = exact(VALUES, VISITS, r, alpha_max, decay)
    if differ(found, right):
        return why_not(found, weights, right, r, decay)
    try:
        late = ask(VALUES, VISITS, 0.0, 20.0, decay)
    except ZeroDivisionError:
        return "At r = 0 you divide by 0: ask first whether 1/r would be above alpha_max, and divide only if not."
    if differ(ask(VALUES, VISITS, 0.01, 20.0, decay), exact(VALUES, VISITS, 0.01, 20.0, decay)[1]):
        return "At r = 0.01 and alpha_max = 20 the exponent must be 20: it is 1/r, but never more than alpha_max."
    if differ(ask(VALUES, VISITS, 0.06, 20.0, decay), exact(VALUES, VISITS, 0.06, 20.0, decay)[1]):
        return "At r = 0.06 and alpha_max = 20 the exponent is 1/r = 16.7: the cap holds only where 1/r is above it."
    if differ(late, exact(VALUES, VISITS, 0.0, 20.0, decay)[1]):
        return "At r = 0 the exponent is alpha_max: the rule is still a draw, and no node's chance is 0."
    if differ(ask(VALUES, VISITS, r, alpha_max, 0.5), exact(VALUES, VISITS, r, alpha_max, 0.5)[1]):
        return "It is right for a decay of 0.85 and wrong for 0.5: use the argument decay."
    small = (1e-5, 2e-5, 1.99e-5), (0, 1, 0), 0.001, 1000.0, decay
    tiny = ask(*small)
    if not np.isfinite(tiny).all():
        return (
            "For tiny values and an exponent of 1000 every weight underflows to 0. Do not make the product: its "
            "logarithm is a sum, alpha * ln V + visits * ln(decay), and chances_from_logs does the rest."
        )
    if differ(tiny, exact(*small)[1]):
        return "For tiny values and an exponent of 1000 the probabilities are off. Do all of it in logarithms."
    return "Right."


def why_not(found: Array, weights: Array, right: Array, r: float, decay: float) -> str:
    """Which mistake an answer looks like."""
    values, visits, alpha = np.array(VALUES), np.array(VISITS), 1 / r

    def like(other: Array) -> bool:
        return np.allclose(found, other) or np.allclose(found, other / other.sum())

    if np.allclose(found, weights):
        return "These are the weights. Divide them by their sum."
    if np.allclose(found, np.log(weights)) or np.allclose(found, np.log(weights) - np.log(weights).max()):
        return "These are logarithms of the weights. Return chances_from_logs of them."
    if like(np.exp(weights)):
        return "You gave the weights to chances_from_logs. It takes their logarithms."
    if like(np.exp(alpha * values) * decay**visits):
        return "ln V is np.log(values): in ln w stands alpha times the logarithm of the value."
    if like(values**alpha * np.exp(decay**visits)):
        return "ln(decay^visits) is visits * ln(decay), not decay^visits itself."
    if like(values**alpha):
        return "This ignores the visits: a node of a wrong value would keep the search."
    if like((values * decay**visits) ** alpha):
        return "The decay is inside the exponent: w = V^alpha * decay^visits, not (V * decay^visits)^alpha."
    if like(values**r * decay**visits):
        return "The exponent is 1/r, not r: it must grow as the budget goes."
    if like(values * decay**visits):
        return "This ignores r: the rule would be as broad with an empty budget as with a full one."
    if like(values**alpha * np.exp(decay * visits)):
        return "In logarithms decay^visits is visits * ln(decay): take the logarithm of the decay as well."
    if like(values**alpha / decay**visits):
        return "Visits raise a node's chance here. They must lower it: multiply by decay^visits."
    if like(values**50.0 * decay**visits):
        return "The exponent is alpha_max whatever r is. It is the smaller of 1/r and alpha_max."
    if np.isfinite(found).all() and not math.isclose(found.sum(), 1.0, abs_tol=1e-6):
        return f"Probabilities sum to 1; yours sum to {found.sum():.3f}."
    return (
        f"For values {list(VALUES)}, visits {list(VISITS)} and r = {r} the answer is {right.round(3).tolist()}, "
        f"yours is {found.round(3).tolist()}."
    )


# The guide's score, and what its bonus does

Score = Callable[[float, int, float, float, float], float]


@exercise
def check_ucb(score: Score, factor: float) -> str:
    """The reader's (node_value, visit_count, total_budget, remaining_budget, c) -> score, and the factor found."""
    value, visits, total, left, c = 2.4, 3, 100.0, 25.0, 1.5
    found = float(score(value, visits, total, left, c))
    mean, log = value / visits, math.log(total + 1)
    likely = {
        mean + c / left * math.sqrt(log / visits): "",
        value + c / left * math.sqrt(log / visits): "Divide the node's value by its visits: the first term is a mean.",
        mean + c / left * math.sqrt(math.log(total) / visits): "It is ln(total + 1), not ln(total).",
        mean + c / left * math.sqrt(log) / visits: "Visits stand under the root, with the logarithm.",
        mean + c / left * log / visits: "The square root is missing.",
        mean + c / left * math.sqrt(log): "The bonus must fall with the visits: divide by them under the root.",
        mean + c / left * math.sqrt(math.log10(total + 1) / visits): "ln is the natural logarithm, math.log.",
        mean + c * left / total * math.sqrt(log / visits): "This is a repaired formula. Write the guide's as stated.",
        mean + c * left * math.sqrt(log / visits): "The guide divides c by what remains; you multiply.",
        mean + 1 / left * math.sqrt(log / visits): "The constant c is missing.",
        mean + math.sqrt(c / left * log / visits): "c / remaining stands before the root, not under it.",
        c / left * math.sqrt(log / visits): "This is the bonus alone. Add the mean, node_value / visit_count.",
    }
    for number, message in likely.items():
        if math.isclose(found, number, rel_tol=1e-9) and message:
            return message
    wanted = next(iter(likely))
    if not math.isclose(found, wanted, rel_tol=1e-9):
        if math.isclose(found, wanted, rel_tol=1e-6):
            return "You add something tiny to the visits. Write the score as stated, and return math.inf for no visits."
        return (
            f"For value {value}, {visits} visits, total {total:g}, remaining {left:g} and c = {c} the score is "
            f"{wanted:.4f}, yours is {found:.4f}."
        )
    if isinstance(factor, str):
        return f"The score is right so far. The factor is a number; {factor!r} is a text."
    other = float(score(0.9, 1, 64.0, 8.0, 0.5)), 0.9 + 0.5 / 8.0 * math.sqrt(math.log(65.0))
    if not math.isclose(*other, rel_tol=1e-9):
        return f"One node is right, for another it is {other[1]:.4f} and yours is {other[0]:.4f}: use all arguments."
    try:
        unvisited = float(score(0.0, 0, total, left, c))
    except ZeroDivisionError:
        return "A node without visits divides by 0. Return math.inf for it."
    if unvisited != math.inf:
        return f"The score of a node without visits must be math.inf, yours is {unvisited:.6g}."
    measured = float(factor)
    if math.isclose(measured, 10.0, rel_tol=1e-6):
        return "Right. The bonus grows as the budget goes: this rule explores most when it can least afford to."
    if math.isclose(measured, 0.1, rel_tol=1e-6):
        return "The score is right. The factor is the other way around: the bonus at 10 % left over that at 100 %."
    if math.isclose(measured, 1.0, rel_tol=1e-6):
        return "The score is right. Your two bonuses are the same: did you change remaining_budget, and only that?"
    if math.isclose(measured, 9.0, rel_tol=1e-6):
        return "The score is right. 9 is how much was added; the factor is the one bonus divided by the other."
    return f"The score is right, but {measured:g} is not the factor. With node_value = 0 the score is the bonus alone."


# Where visits + 1e-8 goes wrong


def guides_code(node_value: float, visit_count: float, total_budget: float, remaining_budget: float) -> float:
    """The guide's score with its own way around the division by 0."""
    visits = visit_count + 1e-8
    return node_value / visits + (1.0 / remaining_budget) * math.sqrt(math.log(total_budget + 1) / visits)


@exercise
def check_case(case: Callable[[], Sequence[float]]) -> str:
    """The reader's (total_budget, remaining_budget, node_value, visit_count) at which a sibling beats a new child."""
    numbers: Any = np.asarray(case(), dtype=float)
    if numbers.shape != (4,) or not np.isfinite(numbers).all():
        return "Give four numbers: total_budget, remaining_budget, node_value, visit_count."
    total, left, value, visits = map(float, numbers)
    if not 1 <= total <= 1e7:
        return f"The budget must be from 1 to 10 million tokens, yours is {total:g}."
    if not 0 < left <= total:
        return f"What remains must be above 0 and at most the total; yours is {left:g} of {total:g}."
    if visits < 1 or visits != int(visits):
        return f"The sibling was tried: its visits are a whole number from 1 on, yours are {visits:g}."
    if not 0 <= value <= visits:
        return f"A value is at most 1, so {visits:g} visits sum to {visits:g} at most; your sum is {value:g}."
    tried, untried = guides_code(value, visits, total, left), guides_code(0.0, 0.0, total, left)
    if tried <= untried:
        return (
            f"Here the untried child comes first: {untried:.3g} against {tried:.3g}. Its score is a finite number "
            "divided by what remains: with which budgets is that small?"
        )
    return f"Right. The untried child has {untried:.3g}, its sibling {tried:.3g}: the child is not tried."


# UCB as a rule for the frontier

FrontierRule = Callable[[Array, Array, float, float, float, bool], Sequence[float]]
FRONTIERS: tuple[tuple[tuple[float, ...], tuple[int, ...], float, float, float], ...] = (
    ((0.85, 0.80, 0.60, 0.30), (3, 1, 1, 0), 0.9, 1.0, 64.0),
    ((0.85, 0.80, 0.60, 0.30), (3, 1, 1, 0), 0.04, 1.0, 64.0),
    ((0.85, 0.80, 0.60, 0.30), (3, 1, 1, 0), 0.2, 1.0, 64.0),
    ((0.90, 0.70, 0.20), (7, 2, 0), 0.5, 0.5, 400.0),
    ((0.55, 0.50, 0.45), (0, 4, 0), 0.6, 2.0, 16.0),
    ((0.60, 0.65, 0.10), (8, 9, 5), 0.3, 0.2, 1000.0),
    ((0.25, 0.65, 0.70), (5, 1, 5), 0.2, 0.5, 64.0),  # these two tell ln(remaining + 1) from ln(total + 1)
    ((0.20, 0.70, 0.75), (5, 1, 3), 0.1, 1.0, 64.0),
    ((0.10, 0.85, 0.75, 0.25), (1, 7, 5, 3), 0.5, 2.0, 2.0),  # these two tell whether c, total_budget and the + 1 count
    ((0.95, 0.40, 0.75), (6, 8, 4), 0.8, 3.0, 4.0),
)
TIE = ((0.4, 0.7, 0.7, 0.1), (2, 2, 2, 2), 0.5, 1.0, 64.0)


def one_hot(
    case: tuple[tuple[float, ...], tuple[int, ...], float, float, float],
    scaled: bool,
    seen: int = 1,
    divide: bool = False,
    left_in_log: bool = False,
    weight: Callable[[float, float, float], float] | None = None,
    log: Callable[[float, Sequence[int]], float] | None = None,
    fixed: Mapping[int, float] = MappingProxyType({}),
) -> Array:
    """UCB on a frontier, node by node. `seen` and what follows it make the mistakes of readers."""
    values, visits, r, c, total = (fixed.get(i, part) for i, part in enumerate(case))
    scores = []
    for value, count in zip(values, visits, strict=True):
        n = count + seen
        if n == 0:
            scores.append(math.inf)
            continue
        share = weight(c, r, total) if weight else (c * r if scaled else c / (r * total))
        under = log(total, visits) if log else math.log((r * total if left_in_log else total) + 1)
        scores.append((value / n if divide else value) + share * math.sqrt(under / n))
    tied = [score == max(scores) for score in scores]
    return np.array([float(each) / sum(tied) for each in tied])


MISREAD: dict[str, dict[str, Any]] = {
    "It is ln(total_budget + 1), not ln(total_budget).": {"log": lambda total, visits: math.log(total)},
    "The logarithm is that of total_budget + 1, not of the visits of all nodes.": {
        "log": lambda total, visits: math.log(sum(visits) + 1)
    },
    "Your rule is the same for every c: use the argument.": {"fixed": {3: 1.0}},
    "Your rule is the same for every total_budget: use the argument.": {"fixed": {4: 64.0}},
}


@exercise
def check_frontier(rule: FrontierRule) -> str:
    """The reader's (values, visits, r, c, total_budget, scaled) -> probabilities."""

    def ask(case: tuple[Any, ...], scaled: bool) -> Array:
        values, visits, *rest = case
        with np.errstate(all="ignore"):
            return np.asarray(rule(np.array(values), np.array(visits), *rest, scaled), dtype=float)

    try:
        plain, scaled = ([ask(case, how) for case in FRONTIERS] for how in (False, True))
        ties = [ask(TIE, how) for how in (False, True)]
    except ZeroDivisionError:
        return "You divide by 0: a node that was never expanded was judged, and has 1 visit."

    def like(found: Sequence[Array], how: bool, **mistake: Any) -> bool:
        return all(
            each.shape == (len(case[0]),) and np.allclose(each, one_hot(case, how, **mistake))
            for each, case in zip(found, FRONTIERS, strict=True)
        )

    for each, case in zip((*plain, *scaled), FRONTIERS * 2, strict=True):
        if each.shape != (len(case[0]),):
            return f"Return one number for each of the {len(case[0])} nodes; yours has shape {each.shape}."
        if not math.isclose(each.sum(), 1.0, abs_tol=1e-9):
            return f"Probabilities sum to 1; yours sum to {each.sum():.3f}. All of it goes to the highest score."
    if like(plain, False) and like(scaled, True):
        if all(np.allclose(each, [0.0, 0.5, 0.5, 0.0]) for each in ties):
            return "Right."
        return "Two nodes with the same score are alike: each gets 1/2. Yours depends on their order in the list."
    if like(plain, False, seen=0) or like(scaled, True, seen=0):
        return "Judging a node is its first visit: one that was expanded n times has n + 1."
    for each in (*plain, *scaled):
        if not np.isin(each, (0.0, 1.0)).all():
            return f"UCB is no draw: one node has the highest score and gets 1, the others 0. Yours: {each.round(3)}."
    if like(plain, False) and like(scaled, False):
        return "The guide's rule is right, but scaled=True changes nothing: its weight is c * r."
    if like(plain, True) and like(scaled, True):
        return "The scaled rule is right, but scaled=False must be the guide's: its weight is c / remaining."
    if like(plain, True) and like(scaled, False):
        return "The two are swapped: scaled=True is the one whose bonus shrinks."
    if like(plain, False, divide=True) or like(scaled, True, divide=True):
        return "V is a mean already: do not divide it by the visits again."
    if like(plain, False, left_in_log=True) or like(scaled, True, left_in_log=True):
        return "The logarithm is that of total_budget + 1, of the whole budget, and not of what remains."
    for said, mistake in MISREAD.items():
        if like(plain, False, **mistake) and like(scaled, True, **mistake):
            return said
    if like(plain, False, weight=lambda c, r, total: 0.0):
        return "This is greedy: the bonus is missing, or too small to matter."
    if like(plain, False, weight=lambda c, r, total: c / r):
        return "For scaled=False, remaining is r * total_budget tokens, not r."
    if like(scaled, True, weight=lambda c, r, total: c * r * total):
        return "For scaled=True the weight is c * r, a share: c times the tokens left is far too much."
    if like(plain, False):
        return "The guide's rule is right. For scaled=True replace c / remaining by c * r and keep the rest."
    if like(scaled, True):
        return "The scaled rule is right. For scaled=False the weight is c / remaining, remaining = r * total_budget."
    return "Compute for each node V + weight * sqrt(ln(total_budget + 1) / (visits + 1)) and take the highest."
