"""Will the search pay on a task? The states that `measure` has seen, searched again.

Each measured question is answered some times over by every method, with the real kernel and ledger: its states are
drawn from as they were drawn, its texts judged as they were judged. An interval is a 95 % one over questions. It does
not cover what is not measured: where a second mistake leads (to a state after someone's first), and wrong ways that end
in the right answer, which help voting most. `benchmarks/forecast.py` measures that beside a real model.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..budget import Ledger
from ..checks import check_count
from ..critics.path import path_residuals
from ..residual import residual
from ..selection import greedy
from ..steps import Sample, Step
from .efficiency import TIERS, Tiers
from .measure import Measured, Seen, State, Text, short, two
from .scores import Budget, Interval, intervals
from .simulator import QUESTION, SEARCHES, Judge, Method, World, chains, tree
from .simulator import State as Place

Array = NDArray[np.float64]
PLENTY = 4096  # tokens, where only tool calls are limited
GOOD = 0.95  # AUC of a critic to hope for
NOWHERE = Text(False, 1, 1, adds=False)
BAVT, VOTE, RERANK, CHAIN, GREEDY = "BAVT", "voting", "reranking", "one greedy chain", "the greedy tree"
METHODS = (BAVT, GREEDY, VOTE, RERANK, CHAIN)
OTHERS = (VOTE, RERANK, CHAIN)  # what the search has to beat


# Forecasting


class Known(NamedTuple):
    """A state of a `Recalled` question. Digit 0 is the right text, digits 1 .. 9 the wrong ones."""

    state: State
    texts: tuple[Text, ...]
    bounds: tuple[float, ...]  # cumulative shares of the wrong ones


class Recalled(World):
    """A measured question, to be answered again. `good`: with a calibrated critic of AUC `GOOD` in place of its own."""

    measured: Measured
    seen: Seen

    def __init__(self, measured: Measured, number: int, budget: Budget, seed: int = 0, good: bool = False):
        self.measured, self.seen = measured, measured.seen[number]
        tokens, calls = PLENTY if budget[0] is None else budget[0], budget[1]
        setting = replace(measured.setting, depth=self.seen.depth, auc=GOOD, whole_path=True, overconfidence=1.0)
        super().__init__(replace(setting, tokens=tokens, tool_calls=calls), seed)
        self.judge: Told = Told(self, self.setting.scale, good=good)
        self.known: dict[str, Known] = {}

    def look(self, path: str) -> Known:
        """What was seen in a state. One that was not drawn in is like some other of its kind."""
        if path not in self.known:
            state = self._find(path, random.Random(f"{self.seed} {path} which"))
            right = max((each for each in state.texts if each.right), key=lambda each: each.copies, default=None)
            if right is None:
                pool = [each for each in self.measured.judged if each.right]
                right = random.Random(f"{self.seed} {path} right").choice(pool or [NOWHERE])
            wrong = [each for each in state.wrong if each.copies][:9] or [NOWHERE]
            shares = accumulate(each.copies / sum(each.copies for each in wrong) for each in wrong)
            self.known[path] = Known(state, (right, *wrong), tuple(shares)[:-1])
        return self.known[path]

    def _find(self, path: str, rng: random.Random) -> State:
        if not path.strip("s0"):
            hop = len(path) - 1
            return self.seen.states[hop] if hop < len(self.seen.states) else rng.choice(self.measured.on)
        hop = len(path) - 2
        own = self.seen.off[hop] if path == "s" + "0" * hop + "1" and hop < len(self.seen.off) else None
        return own or rng.choice(self.measured.off or [State((NOWHERE,))])

    def _make(self, path: str) -> Place:
        place, state, setting = super()._make(path), self.look(path).state, self.measured.setting
        place.dead, place.p = False, setting.p
        if not place.right:
            place.p = 0.0
        elif setting.p < 1.0 and setting.spread:  # the posterior of a Beta distribution that was fitted to all states
            size, wrong = 1.0 / setting.spread - 1.0, state.draws - state.right
            place.p = place.rng.betavariate(state.right + setting.p * size, wrong + (1.0 - setting.p) * size)
        return place

    def _digit(self, place: Place, luck: float) -> int:
        return 0 if luck < place.p else 1 + bisect(self.look(place.path).bounds, (luck - place.p) / (1.0 - place.p))

    def _text(self, place: Place, digit: int) -> Sample:
        text = self.look(place.path).texts[digit]
        return Sample(f"{place.path}{digit}" if text.adds else "", text.tokens, (0.0,) * text.tokens, True)

    def _likeliest(self, place: Place) -> Sample:
        known = self.look(place.path)
        found = known.state.greedy
        if found is None or not place.right:
            return self._text(place, 1 if not place.right or place.p < 0.5 else 0)
        return Sample(f"{place.path}{'01'[not found.right]}" if found.adds else "", found.tokens, (), True)


@dataclass(frozen=True)
class Told(Judge):
    """The critic of a `Recalled` question."""

    good: bool = False

    @property
    def tokens_per_step(self) -> int:
        """What the measured critic generates, so that the search keeps it free here too."""
        assert isinstance(self.world, Recalled)
        return 0 if self.good else self.world.measured.judge_tokens

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]."""
        world = self.world
        assert isinstance(world, Recalled)
        if self.good:
            return super().__call__(steps, ledger)
        tokens = world.measured.judge_tokens * len(steps)
        with ledger.reserve("critic", tokens=tokens) as call:
            call.spend(tokens=tokens)
        said = [self.say(world, step.text) for step in steps]
        if world.measured.setting.whole_path:
            return path_residuals(said, self.scale, steps)
        return [residual(p, self.scale) for p in said]

    def say(self, world: Recalled, path: str) -> float:
        """The chance that the last step is right, taken by itself if this critic sees the whole path."""
        known = world.look(path[:-1])
        text = known.texts[int(path[-1])]
        if math.isnan(text.chance):
            return 0.5
        return (
            min(1.0, text.chance / max(known.state.before, 1e-9)) if world.measured.setting.whole_path else text.chance
        )


def methods(cap: int) -> dict[str, Method]:
    """Those of METHODS, with steps of at most `cap` tokens."""
    return {
        BAVT: lambda world: tree(world, max_new_tokens=cap),
        GREEDY: lambda world: tree(world, greedy, max_new_tokens=cap),
        VOTE: lambda world: chains(world, max_new_tokens=cap),
        RERANK: lambda world: chains(world, world.judge, max_new_tokens=cap),
        CHAIN: lambda world: chains(world, max_chains=1, temperature=0.0, max_new_tokens=cap),
    }


def outcomes(measured: Measured, budget: Budget, repeats: int, seed: int = 0, good: bool = False) -> Array:
    """Share of right answers, (questions, methods), each question answered `repeats` times."""
    own = methods(measured.cap)
    found = np.zeros((len(measured.seen), len(own)))
    for number, seen in enumerate(measured.seen):
        for repeat in range(repeats):
            world = Recalled(measured, number, budget, (seed * 1000 + repeat) * SEARCHES + number, good)
            for i, build in enumerate(own.values()):
                answer = build(world).search(QUESTION, seen.depth, world.plan).answer
                found[number, i] += (answer == world.answer) / repeats
    return found


@dataclass(frozen=True)
class Forecast:
    """Accuracies that are expected of each method at each budget."""

    measured: Measured
    right: Mapping[Budget, Array]  # of a budget, (questions, methods)
    better: Array | None = None  # as `right`, of the last budget, with a good critic; only if yours knows nothing

    def accuracy(self, method: str, budget: Budget) -> Interval:
        """Of a method. Raises LookupError for a budget that was not simulated, ValueError for another method."""
        return interval(self.right[budget][:, METHODS.index(method)])

    def gain(self, method: str, other: str, budget: Budget) -> Interval:
        """Accuracy of a method minus that of another."""
        return difference(self.right[budget], method, other)

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
        gain = difference(right, BAVT, best)
        said = f"{best} ({short(gain, True)}) at {name(budget)}"
        return f"; with one of AUC {two(GOOD)} BAVT would {'beat' if gain.low > 0 else 'still not clearly beat'} {said}"

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


def interval(values: Array) -> Interval:
    """Of a mean over questions."""
    (found,) = intervals(values[:, None])
    assert found is not None
    return found


def difference(right: Array, method: str, other: str) -> Interval:
    """Of two methods on the same questions."""
    return interval(right[:, METHODS.index(method)] - right[:, METHODS.index(other)])


def forecast(
    measured: Measured,
    budgets: Tiers = TIERS,
    *,
    repeats: int = 5,
    seed: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Forecast:
    """The accuracy of each method at budgets of (tokens, tool calls). Each question is answered `repeats` times."""
    check_count("repeats", repeats, least=1)
    if not budgets:
        raise ValueError("budgets must not be empty")
    right = {budget: outcomes(measured, budget, repeats, seed) for budget in progress(budgets)}
    better = None
    if measured.intervals["auc"].low <= 0.5:
        better = outcomes(measured, budgets[-1], repeats, seed, good=True)
    return Forecast(measured, right, better)


# Words


def name(budget: Budget) -> str:
    """A budget in words."""
    tokens, calls = ("any" if unit is None else f"{unit}" for unit in budget)
    return f"{tokens} tokens ({calls} lookups)"


def join(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
