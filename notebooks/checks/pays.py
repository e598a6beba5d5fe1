"""Checks of 06_when_it_pays."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
from scipy.stats import binom, binomtest

from bavt_minimal import BudgetAware
from bavt_minimal.benchmark.simulator import METHODS, PAPER, Method, Setting, scheduled, simulate, tree

from . import exercise

Schedule = Callable[[float], float]
CENTER: dict[str, Any] = {"depth": 3, "p": 0.5, "spread": 0.3, "tilt": 0.3, "auc": 0.95}
FRESH, DEV = 77, 1  # seeds of worlds; the first are used nowhere in the notebook


def make(chains: float = 6, **changes: Any) -> Setting:
    """A task with the budget of so many chains, as in the notebook."""
    task = CENTER | changes
    steps = round(chains * task["depth"])
    return Setting(**task, tokens=4 * steps, tool_calls=steps)


def play(setting: Setting, methods: Mapping[str, Method], worlds: int, seed: int) -> dict[str, np.ndarray]:
    """In which worlds each method is right."""
    rows = simulate(setting, methods, worlds, seed)
    return {name: np.array([row.right for row in rows if row.method == name], float) for name in methods}


def sign_test(one: np.ndarray, other: np.ndarray) -> float:
    """P of as uneven a split of the worlds in which only one of the two is right."""
    better, worse = int((one > other).sum()), int((one < other).sum())
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def close(found: object, right: float) -> bool:
    """Whether a number is `right`."""
    return isinstance(found, Real) and not isinstance(found, bool) and math.isclose(found, right, rel_tol=1e-6)


# A task on which a vote is better


@exercise
def check_vote(task: Callable[[], dict[str, Any]]) -> str:
    """The reader's changes to the center: a vote has to be ahead, with a critic that ranks well."""
    changes = task()
    if not isinstance(changes, dict):
        return f'Return a dictionary of changes to the center, such as {{"depth": 2}}. Yours is {changes!r}.'
    if {"tokens", "tool_calls"} & set(changes):
        return 'Set the budget with "chains", so that both methods can pay for the same number of whole chains.'
    known = {*Setting.__dataclass_fields__, "chains"} - {"tokens", "tool_calls", "tokens_per_step"}
    if unknown := sorted(map(str, set(changes) - known)):
        return f'A task has no field "{unknown[0]}". It has {", ".join(sorted(known))}.'
    if changes.get("auc", CENTER["auc"]) < 0.9:
        return "With so low an AUC any judge fails. Keep it at .9 or more, and find what else makes the vote win."
    if changes.get("chains", 6) > 16 or changes.get("depth", 3) > 6:
        return "At most 16 chains and a depth of 6 here, so that the check takes seconds."
    try:
        setting = make(**changes)
    except (ValueError, TypeError) as error:
        return f"The simulator refuses this task: {error}."
    right = play(setting, {name: METHODS[name] for name in (PAPER, "vote")}, 80, FRESH)
    search, vote = right[PAPER], right["vote"]
    points, p = 100 * (vote - search).mean(), sign_test(vote, search)
    said = f"In 80 new worlds the vote is right in {vote.mean():.2f} and the search in {search.mean():.2f} of them"
    if p >= 0.05:
        return f"{said}. That is not told apart (p = {p:.2f}): a lead of {points:+.0f} points can be luck here."
    if points < 0:
        return f"{said}: the search is ahead. Which field says how far the critic can be believed?"
    return f"Right. {said}, p {'below .001' if p < 0.001 else f'= {p:.3f}'}."


# Theorem 1


@exercise
def check_bound(bound: Callable[[int, float, float], int]) -> str:
    """The reader's M: (steps, p_min, eps) -> expansions."""
    steps, p, eps = 5, 0.3, 0.02
    bits = math.log(1 / eps)
    root, found = math.sqrt(2 * steps * bits), bound(steps, p, eps)
    right = math.ceil((steps + root + 2 * bits) / p)
    if not isinstance(found, Real):
        return f"Return one number of expansions, yours is {found!r}."
    found = float(found)
    wrong = {
        (steps + root + 2 * bits) / p: "You cannot make a fraction of an expansion: round up with math.ceil.",
        (steps + root + bits) / p: "The last term is 2 ln(1/eps). Yours lacks the 2.",
        (steps + math.sqrt(steps * bits) + 2 * bits) / p: "Under the root stands 2 K ln(1/eps). Yours lacks the 2.",
        (steps + math.sqrt(2 * steps * bits)) / p: "The last term, 2 ln(1/eps), is missing.",
        (steps + 2 * bits) / p: "The root, sqrt(2 K ln(1/eps)), is missing.",
        steps / p: "This is the mean number of expansions. About half of all searches need more.",
        steps / p + root + 2 * bits: "All three terms are divided by p_min, not K alone.",
        (steps + root - 2 * bits) / p: "ln(1/eps) is above 0: it is -math.log(eps).",
        math.ceil(1 / p) * (steps + root + 2 * bits): "Round up once, at the end, not 1 / p.",
        (steps + root + 2 * bits) * p: "Divide by p_min: a smaller chance of progress needs more expansions.",
        (steps + root + 2 * bits): "Divide by p_min: a smaller chance of progress needs more expansions, not as many.",
    }
    base_10 = math.log10(1 / eps)
    wrong[(steps + math.sqrt(2 * steps * base_10) + 2 * base_10) / p] = "ln is the natural logarithm: math.log."
    if math.isclose(found, math.floor((steps + root + 2 * bits) / p)):
        return "Rounded down the promise is not kept: round up."
    if found != right:
        for value, words in wrong.items():
            if math.isclose(found, value, rel_tol=1e-9) or found == math.ceil(value):
                return words
        return f"For K = {steps}, p_min = {p} and eps = {eps} the bound is {right}, yours is {found:g}."
    luck = random.Random(6)
    for _ in range(200):
        steps, p, eps = luck.randint(1, 30), luck.uniform(0.01, 1), luck.uniform(1e-4, 1)
        bits = math.log(1 / eps)
        value = (steps + math.sqrt(2 * steps * bits) + 2 * bits) / p
        near = {math.ceil(value - 1e-9), math.ceil(value + 1e-9)}  # another order of the sum may round otherwise
        if (found := bound(steps, p, eps)) not in near:
            return f"For K = {steps}, p_min = {p:.3f} and eps = {eps:.3f} it is {math.ceil(value)}, yours is {found}."
    return "Right."


def fewest(steps: int, p: float, eps: float) -> int:
    """The fewest expansions with P(at least `steps` successes) >= 1 - eps, one by one."""
    count = steps
    while binom.sf(steps - 1, count, p) < 1 - eps:
        count += 1
    return count


@exercise
def check_exact(exact: Callable[[int, float, float], float]) -> str:
    """The reader's quantile: (steps, p, eps) -> expansions."""
    steps, p, eps = 4, 0.4, 0.05
    right, found = fewest(steps, p, eps), exact(steps, p, eps)
    if not isinstance(found, Real):
        return f"Return one number of expansions, yours is {found!r}."
    if found != right:
        wrong = {
            right - steps: "scipy's nbinom counts the failures before success number K. An expansion is either: add K.",
            right - steps + 1: "What you counted are failures, and the K successes are expansions too: add K, not 1.",
            fewest(steps, p, 1 - eps): "This many are enough with chance eps. It has to be 1 - eps.",
            fewest(steps, p, 0.5): "This is the median. Half of all searches need more.",
            fewest(1, p, eps): "This is enough for one right step. You need K of them.",
            steps * fewest(1, p, eps): "K times what one step needs is too many: bad luck seldom comes K times.",
            fewest(steps, 1 - p, eps): "The chance of a success is p, you took 1 - p.",
        }
        mean = math.isclose(found, steps / p)
        otherwise = f"For K = {steps}, p = {p} and eps = {eps} it takes {right} expansions, yours is {found:g}."
        return "This is the mean. About half of all searches need more." if mean else wrong.get(found, otherwise)
    luck = random.Random(7)
    for _ in range(60):
        steps, p, eps = luck.randint(1, 12), luck.uniform(0.05, 0.95), luck.uniform(0.001, 0.6)
        right, found = fewest(steps, p, eps), exact(steps, p, eps)
        if found != right:
            return f"For K = {steps}, p = {p:.3f} and eps = {eps:.3f} it takes {right} expansions, yours is {found}."
    return "Right."


@exercise
def check_least(least: Callable[[float, float, int, float], float]) -> str:
    """The reader's p_min: (v_min, alpha_max, nodes, drawn) -> the least chance of progress."""

    def worst(v_min: float, alpha_max: float, nodes: int, drawn: float) -> float:
        """By the module's rule at r = 0 on the worst frontier."""
        return float(BudgetAware(alpha_max, decay=1.0)([v_min, *[1.0] * (nodes - 1)], [0] * nodes, 0.0)[0]) * drawn

    asked = (0.2, 3.0, 5, 0.6)
    v_min, alpha_max, nodes, drawn = asked
    weight, found = v_min**alpha_max, least(*asked)
    if not close(found, worst(*asked)):
        plain, root = v_min / (v_min + nodes - 1), v_min ** (1 / alpha_max)
        wrong = {
            weight / (weight + nodes - 1): "This is the chance of selecting the node. Then the step must be drawn too.",
            weight / (weight + nodes) * drawn: "You have one node too many: of `nodes`, nodes - 1 are others.",
            plain * drawn: "alpha is missing: weights are V^alpha.",
            drawn * root / (root + nodes - 1): "You took the exponent 1/alpha. alpha is 1/r: weights are V^alpha.",
            drawn / nodes: "This takes all nodes for alike. The worst case: yours has v_min, each other one has 1.",
            weight * drawn: "A weight is no probability: divide by the sum of all weights.",
            weight / (nodes - 1) * drawn: "The sum of all weights includes that of the node itself.",
            weight / (1 + nodes - 1) * drawn: "The sum of all weights is that of the node, and 1 for each other one.",
            v_min * alpha_max / (v_min * alpha_max + nodes - 1) * drawn: "alpha is an exponent, not a factor.",
        }
        for value, words in wrong.items():
            if close(found, value):
                return words
        return f"For {asked} the least chance is {worst(*asked):.6f}, yours is {found!r}."
    luck = random.Random(8)
    for _ in range(100):
        asked = (luck.uniform(0.1, 1), luck.uniform(0.5, 8), luck.randint(1, 30), luck.uniform(0.05, 1))
        if not close(found := least(*asked), worst(*asked)):
            return f"For {asked} the least chance is {worst(*asked):.3g}, yours is {found!r}."
    if least(0.0, 2.0, 4, 0.5) != 0:
        return "With v_min = 0 the worst node has no weight, so the least chance is 0. Yours is not."
    return "Right. With v_min = 0, or an exponent without a bound, it is 0: then the theorem promises nothing."


# A schedule

TUNING = make(chains=4, spread=0.1, auc=0.8)


@exercise
def check_schedule(schedule: Schedule) -> str:
    """The reader's exponent: r -> alpha. Properties, then the development worlds."""
    try:
        last = schedule(0.0)
    except ZeroDivisionError:
        return "At r = 0 you divide by 0. Theorem 1 needs a bounded exponent: give it a cap, as max(r, ...) does."
    grid = [schedule(r) for r in np.linspace(0, 1, 101).tolist()]
    if not all(isinstance(alpha, Real) and math.isfinite(alpha) for alpha in grid):
        return f"The exponent has to be a finite number for every r. At r = 0 yours is {last!r}."
    if min(grid) <= 0:
        return f"An exponent of {min(grid):g} turns the order of the values around, or ignores them. Keep it above 0."
    if max(grid) - min(grid) < 1e-9:
        return f"It is {last:g} whatever is left. The task here is one that grows as the budget goes."
    if any(poor < rich - 1e-9 for poor, rich in pairwise(grid)):
        return "It falls somewhere as the budget goes. The idea is the reverse: broad while rich, greedy when poor."
    if max(grid) > 50:
        return f"It reaches {max(grid):.3g}. Keep it at 50 or below: more is cut off by the rule's cap."
    if grid[-1] > 2:
        return f"It begins with {grid[-1]:.3g} at r = 1. Broad while rich means 2 or less here."
    if last < 5:
        return f"It ends with {last:.3g} at r = 0. Greedy when poor means 5 or more here."
    right = play(TUNING, {"yours": scheduled(schedule), PAPER: tree}, 60, DEV)
    difference = 100 * (right["yours"] - right[PAPER])
    points, half = difference.mean(), 1.96 * difference.std(ddof=1) / math.sqrt(len(difference))
    return f"Right. In the 60 development worlds it is at {points:+.1f} points from 1/r, give or take {half:.1f}."


# Choosing honestly

Choice = Callable[[np.ndarray, np.ndarray], tuple[int, float, float]]


def honest(development: np.ndarray, test: np.ndarray) -> tuple[int, float, float]:
    """The best row on development worlds, its gain over row 0 on test worlds in points, and half its interval."""
    chosen = int(development.mean(axis=1).argmax())
    gains = 100 * (test[chosen] - test[0])
    return chosen, float(gains.mean()), float(1.96 * gains.std(ddof=1) / math.sqrt(gains.size))


@exercise
def check_honest(choose: Choice) -> str:
    """The reader's protocol: (development, test) -> (row, gain, half width)."""
    for seed in (5, 37, 93, *range(12)):  # first three in which every mistake picks another row
        rng = np.random.default_rng(seed)
        luck = rng.normal(size=(6, 1)) / 6
        development, test = (
            (rng.random((6, worlds)) < 0.5 + luck[rng.permutation(6)]).astype(float) for worlds in (70, 90)
        )
        said = judge_choice(choose(development.copy(), test.copy()), development, test)
        if said:
            return said
    return "Right."


def judge_choice(found: object, development: np.ndarray, test: np.ndarray) -> str:
    """What is wrong with a choice, or ""."""
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        return f"Return three numbers: the row, the gain in points, half the interval's width. Yours is {found!r}."
    row, gain, half = found
    chosen, right, width = honest(development, test)
    both = int(np.hstack([development, test]).mean(axis=1).argmax())
    if row != chosen:
        if row == int(test.mean(axis=1).argmax()):
            return "You chose on the test worlds. The row that is best there is partly the luckiest there."
        best = 100 * (development[chosen] - development[0])
        if row == 0 and best.mean() < 1.96 * best.std(ddof=1) / math.sqrt(best.size):
            return (
                "You kept row 0, though another is ahead on the development worlds. If you ask for a clear lead there: "
                "this protocol takes the best row; whether it is ahead is for the test worlds to say."
            )
        if row == both:
            return "You chose on all worlds together. The test worlds may have no say in the choice."
        if isinstance(row, (int, np.integer)) and not 0 <= row < len(development):
            return (
                f"There are {len(development)} rows, one a schedule, and yours is {row}: average along a row, axis=1."
            )
        if row == 1 + int(development[1:].mean(axis=1).argmax()):
            return "Row 0 may be chosen too, and here today's rule is the best one on the development worlds."
        if row == int(development[1:].mean(axis=1).argmax()):
            return "Rows count from 0, and row 0 is one of them: yours is one off, or leaves row 0 out."
        return f"The best row on the development worlds is {chosen}, yours is {row}."
    gains = {
        100 * float((development[chosen] - development[0]).mean()): "This is the gain on the development worlds, "
        "on which the row was chosen. Report the one on the test worlds.",
        100 * float(test[chosen].mean()): "This is the row's accuracy. Report its gain over row 0 in the same worlds.",
        right / 100: "The gain is a share of 1. Report points: times 100.",
        -right: "This is row 0 minus the chosen row. Report the chosen row minus row 0.",
    }
    if not math.isclose(gain, right, rel_tol=1e-9, abs_tol=1e-9):
        words = (text for value, text in gains.items() if math.isclose(gain, value, abs_tol=1e-9))
        return next(words, f"The gain on the test worlds is {right:+.2f} points, yours is {gain!r}.")
    difference = 100 * (test[chosen] - test[0])
    apart = 1.96 * 100 * math.sqrt((test[chosen].var(ddof=1) + test[0].var(ddof=1)) / difference.size)
    plain = 1.96 * float(difference.std(ddof=0)) / math.sqrt(difference.size)
    halves = {
        width / 1.96: "This is the standard error. Half of a 95 % interval is 1.96 of them.",
        2 * width: "This is the whole width of the interval. Report half of it.",
        width * math.sqrt(difference.size): "Divide by the square root of the number of worlds.",
        width / math.sqrt(difference.size): "You divided by the number of worlds. Take its square root.",
        apart: "This takes the two for measured in different worlds. Take the deviation of the differences.",
    }
    if not (math.isclose(half, width, abs_tol=1e-9) or math.isclose(half, plain, abs_tol=1e-9)):
        words = (text for value, text in halves.items() if math.isclose(half, value, abs_tol=1e-9))
        return next(words, f"Half of the interval is {width:.2f} points, yours is {half!r}.")
    return ""
