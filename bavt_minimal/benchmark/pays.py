"""Will the search pay on a task? What `measure` has found of it, played by the simulator.

An interval is a 95 % one: questions are drawn anew and simulated again, which gives the error of the measured numbers,
and the error of a mean over simulated questions is added. It does not cover what the simulator leaves out (steps
that depend on each other, mistakes that are made good, a critic of another form): `benchmarks/forecast.py` measures
that beside a real model. Known so far, of one actor and critic: gains over reranking came true at all four budgets,
those over voting and one greedy chain were forecast up to two and a half times too high.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..budget import Ledger
from ..checks import check_count
from ..critics.calibration import logit, sigmoid
from ..critics.path import path_residuals
from ..residual import residual
from ..selection import greedy
from ..steps import Step
from .efficiency import TIERS, Tiers
from .measure import Judged, Measured, short, two
from .scores import Budget, Interval
from .simulator import QUESTION, SEARCHES, Judge, Method, World, chains, tree
from .simulator import State as Place

Array = NDArray[np.float64]
PLENTY = 4096  # tokens, where only tool calls are limited
GOOD = 0.95  # AUC of a critic to hope for
BAVT, VOTE, RERANK, CHAIN, GREEDY = "BAVT", "voting", "reranking", "one greedy chain", "the greedy tree"
METHODS = (BAVT, GREEDY, VOTE, RERANK, CHAIN)
OTHERS = (VOTE, RERANK, CHAIN)  # what the search has to beat
# Forecasting


class Voice(NamedTuple):
    """How a critic puts what it sees, as log-odds: `center` + `spread` x a score, which is N(d/2, 1) or N(-d/2, 1)."""

    center: float
    spread: float


def voice(judged: Sequence[Judged], separation: float) -> Voice:
    """Fitted to the log-odds of right and of wrong texts; `separation` is d.

    Their means should be spread x d apart and their deviation be spread, and of both the squared error is least. A
    good critic's log-odds are not normal, and then it is the means that count; with d near 0 these say nothing.
    """
    kinds = [logit([each.chance for each in judged if each.right is right]) for right in (False, True)]
    there = [kind for kind in kinds if len(kind)]
    if not there:
        return Voice(0.0, 0.0)
    means = [float(kind.mean()) for kind in there]
    within = sum(float(((kind - kind.mean()) ** 2).sum()) for kind in there)
    deviation = math.sqrt(within / sum(map(len, there)))
    spread = (separation * (means[-1] - means[0]) + deviation) / (separation**2 + 1.0)
    return Voice(sum(means) / len(means), max(0.0, spread))


@dataclass(frozen=True)
class Told(Judge):
    """The critic of a simulated question, in the words of the real one. `voice` None: the true chances."""

    voice: Voice | None = None
    path: bool = True  # the chance of a step by itself is multiplied by that of all before
    tokens_per_step: int = 0  # that judging generates

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]."""
        tokens = self.tokens_per_step * len(steps)
        with ledger.reserve("critic", tokens=tokens) as call:
            call.spend(tokens=tokens)
        said = [self.say(self.world.state(step.text).chance) for step in steps]
        return path_residuals(said, self.scale, steps) if self.path else [residual(p, self.scale) for p in said]

    def say(self, chance: float) -> float:
        """Another chance of the same rank."""
        if self.voice is None:
            return chance
        odds, prior = (math.log(max(p, 1e-12) / max(1.0 - p, 1e-12)) for p in (chance, self.world.setting.p))
        score = (odds - prior) / self.world.separation
        return float(sigmoid(self.voice.center + self.voice.spread * score))


class Coupled(World):
    """A world whose luck stays the same if its setting changes a little: each state's p is a quantile of its kind.

    The simulator draws p by rejection, where a little other setting can turn all that follows.
    """

    def _make(self, path: str) -> Place:
        from scipy.special import betaincinv

        place, setting = super()._make(path), self.setting
        if setting.spread and setting.p < 1.0:
            size = 1.0 / setting.spread - 1.0
            luck = random.Random(f"{self.seed} {path} p").random()
            place.p = float(betaincinv(setting.p * size, (1.0 - setting.p) * size, luck))
        place.rng = random.Random(f"{self.seed} {path} draws")
        return place


def methods(cap: int) -> dict[str, Method]:
    """Those of METHODS, on a simulated question, with steps of at most `cap` tokens."""
    return {
        BAVT: lambda world: tree(world, max_new_tokens=cap),
        GREEDY: lambda world: tree(world, greedy, max_new_tokens=cap),
        VOTE: lambda world: chains(world, max_new_tokens=cap),
        RERANK: lambda world: chains(world, world.judge, max_new_tokens=cap),
        CHAIN: lambda world: chains(world, max_chains=1, temperature=0.0, max_new_tokens=cap),
    }


def outcomes(measured: Measured, budget: Budget, worlds: int, seed: int = 0, good: bool = False) -> Array:
    """Right or wrong, (worlds, methods), on simulated questions whose depths are spread as those of the plans.

    `good`: with a calibrated critic of AUC `GOOD` in place of the measured one.
    """
    setting, depths = measured.setting, measured.depths
    # A simulated step has a whole number of tokens, so the budget is stretched instead.
    stretch = setting.tokens_per_step / measured.tokens
    tokens = PLENTY if budget[0] is None else round(budget[0] * stretch)
    setting = replace(setting, tokens=tokens, tool_calls=budget[1], whole_path=False, overconfidence=1.0)
    # At 1/2 all steps would be alike; a critic that knows nothing says something all the same.
    setting = replace(setting, auc=GOOD if good else min(1.0 - 1e-6, max(0.501, setting.auc)))
    own = methods(max(setting.tokens_per_step, round(measured.cap * stretch)))
    words = None if good else voice(measured.judged, setting.separation)
    path = good or measured.setting.whole_path
    found = []
    counts = Counter(depths[int((i + 0.5) * len(depths) / worlds)] for i in range(worlds))
    for depth, count in sorted(counts.items()):
        for number in range(count):
            world = Coupled(replace(setting, depth=depth), (seed * 1000 + depth) * SEARCHES + number)
            world.judge = Told(world, setting.scale, voice=words, path=path, tokens_per_step=measured.judge_tokens)
            results = [build(world).search(QUESTION, depth, world.plan) for build in own.values()]
            found.append([float(result.answer == world.answer) for result in results])
    return np.array(found)


@dataclass(frozen=True)
class Forecast:
    """Accuracies that are expected of each method at each budget."""

    measured: Measured
    right: Mapping[Budget, Array]  # of a budget, (worlds, methods)
    resampled: Mapping[Budget, Array]  # (resamples, methods) accuracies
    better: Array | None = None  # as `right`, of the last budget, with a good critic; only if yours knows nothing

    def accuracy(self, method: str, budget: Budget) -> Interval:
        """Of a method. Raises LookupError for a budget that was not simulated, ValueError for another method."""
        return self._interval(budget, np.eye(len(METHODS))[METHODS.index(method)], 0.0)

    def gain(self, method: str, other: str, budget: Budget) -> Interval:
        """Accuracy of a method minus that of another."""
        eye = np.eye(len(METHODS))
        return self._interval(budget, eye[METHODS.index(method)] - eye[METHODS.index(other)], -1.0)

    def _interval(self, budget: Budget, weights: Array, least: float) -> Interval:
        from scipy.stats import t

        worlds, again = self.right[budget] @ weights, self.resampled[budget] @ weights
        value, error = float(worlds.mean()), math.sqrt(again.var(ddof=1) + worlds.var(ddof=1) / len(worlds))
        half = float(t.ppf(0.975, len(again) - 1)) * error
        return Interval(value, max(least, value - half), min(1.0, value + half), len(self.measured.seen))

    def best_other(self, budget: Budget) -> str:
        """What BAVT has to beat there."""
        return max(OTHERS, key=lambda name: self.accuracy(name, budget).value)

    def sentences(self) -> list[str]:
        """One for each budget, and the last for all of them."""
        return [self._sentence(budget) for budget in self.right] + [self._verdict()]

    def _sentence(self, budget: Budget) -> str:
        said: dict[str, list[str]] = {}
        for other in OTHERS:
            gain = self.gain(BAVT, other, budget)
            kind = "to beat" if gain.low > 0 else "to lose to" if gain.high < 0 else "to be level with"
            said.setdefault(kind, []).append(f"{other} ({short(gain, True)})")
        return f"At {name(budget)} BAVT is forecast {join([f'{kind} {join(each)}' for kind, each in said.items()])}."

    def _verdict(self) -> str:
        ranks, found = self.measured.intervals["auc"], list[str]()
        pays = [budget for budget in self.right if self.gain(BAVT, self.best_other(budget), budget).low > 0]
        rivals = [method for method in METHODS if method != CHAIN]
        ahead = [any(self.gain(method, CHAIN, budget).low > 0 for method in rivals) for budget in self.right]
        if not any(ahead):
            found.append("Nothing is forecast to beat one greedy chain at any of these budgets.")
        elif not ahead[0]:
            found.append(f"At under {name([*self.right][ahead.index(True)])} nothing beats one greedy chain here.")
        if pays:
            gain = self.gain(BAVT, self.best_other(pays[-1]), pays[-1])
            where = join([name(budget) for budget in pays])
            found.append(
                f"The search will pay at {where}: at the last of these BAVT is ahead of the best of the others,"
            )
            found.append(f"{self.best_other(pays[-1])}, by {short(gain, True)}.")
        else:
            found.append("The search is not forecast to pay: BAVT is nowhere clearly ahead of the best of the others.")
        if ranks.low <= 0.5:
            found.append(f"Your critic ranks steps no better than chance (AUC {short(ranks)}){self._better()}.")
        return " ".join(found)

    def _better(self) -> str:
        """What another critic would change."""
        right = self.better
        if right is None:
            return ""
        budget, best = [*self.right][-1], max(OTHERS, key=lambda each: float(right[:, METHODS.index(each)].mean()))
        gain = right[:, METHODS.index(BAVT)] - right[:, METHODS.index(best)]
        half = 1.96 * gain.std(ddof=1) / math.sqrt(len(gain))
        mean = float(gain.mean())
        said = f"{best} ({short(Interval(mean, mean - half, mean + half, len(gain)), True)}) at {name(budget)}"
        return f"; with one of AUC {two(GOOD)} BAVT would {'beat' if mean > half else 'still not clearly beat'} {said}"

    def to_json(self) -> dict[str, Any]:
        """As plain objects."""
        rows = [
            {"tokens": tokens, "tool_calls": calls, "method": method}
            | {"accuracy": self.accuracy(method, (tokens, calls))[:3]}
            | ({} if method == BAVT else {"bavt_gain": self.gain(BAVT, method, (tokens, calls))[:3]})
            for tokens, calls in self.right
            for method in METHODS
        ]
        numbers = {key: value[:3] for key, value in self.measured.intervals.items()}
        return {
            "questions": len(self.measured.seen),
            "measured": numbers,
            "forecast": rows,
            "said": self.sentences(),
        }

    def table(self) -> str:
        """Accuracies, then the sentences."""
        lines = [f"{'forecast accuracy, 95 %':<24}" + "".join(f"{method:>20}" for method in METHODS)]
        for budget in self.right:
            cells = [short(self.accuracy(method, budget)) for method in METHODS]
            lines.append(f"{name(budget):<24}" + "".join(f"{cell:>20}" for cell in cells))
        return "\n".join(lines)

    def __str__(self) -> str:
        return "\n".join([str(self.measured), "", self.table(), "", *self.sentences()])


def forecast(
    measured: Measured,
    budgets: Tiers = TIERS,
    *,
    worlds: int = 200,
    resamples: int = 20,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Forecast:
    """What each method's accuracy will be, at budgets of (tokens, tool calls).

    `worlds` simulated questions give the values. For the interval the measured questions are drawn anew `resamples`
    times, and each time a quarter of the simulated questions is answered again: the same ones, as far as other numbers
    allow, so that the two differ by the numbers more than by luck.
    """
    check_count("worlds", worlds, least=8)
    check_count("resamples", resamples, least=2)
    if not budgets:
        raise ValueError("budgets must not be empty")
    rng = np.random.default_rng(seed)
    drawn = [measured.resample(rng) for _ in range(resamples)]
    right: dict[Budget, Array] = {}
    again: dict[Budget, list[Array]] = {}
    for each in progress([measured, *drawn]):
        for budget in budgets:
            if each is measured:
                right[budget] = outcomes(each, budget, worlds, seed)
            else:
                again.setdefault(budget, []).append(outcomes(each, budget, worlds // 4, seed).mean(0))
    better = None
    if measured.intervals["auc"].low <= 0.5:
        better = outcomes(measured, budgets[-1], worlds, seed, good=True)
    return Forecast(measured, right, {budget: np.stack(rows) for budget, rows in again.items()}, better)


# Words


def name(budget: Budget) -> str:
    """A budget in words."""
    tokens, calls = ("any" if unit is None else f"{unit}" for unit in budget)
    return f"{tokens} tokens ({calls} lookups)"


def join(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
