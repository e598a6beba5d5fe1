"""A task with known chances, on which the real search runs: same kernel, same ledger, scripted parts.

A state is named by the way to it, "s" and a digit a step: 0 is the right step, 1 .. `wrong` are the others. `World` is
the language model, `World.page` the tool and `Judge` the critic. All noise is keyed by (seed, state), so that every
method meets the same samples, and a step judged twice gets the same judgment.
The critic is binormal (Green and Swets 1966): it sees a score from N(d/2, 1) for a right step and from N(-d/2, 1) for a
wrong one, where AUC = Phi(d / sqrt 2), and says the exact posterior chance of right.
"""

from __future__ import annotations

import math
import random
import re
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..budget import Budget, Ledger
from ..chains import ParallelChains
from ..checks import check_count, check_range
from ..critic import Critic
from ..models.request import check_sampling
from ..models.scripted import ScriptedModel
from ..residual import residual
from ..search import BudgetAwareValueTreeSearch
from ..searcher import Searcher
from ..selection import BudgetAware, BudgetAwareUCB, Selection, checked, greedy, uniform
from ..steps import Sample, Step

QUESTION, FIRST = "Which way?", "Where to?"  # the second is the plan's first step
PATH = re.compile(r"s[0-9]*")
PROMPT = re.compile(r"Question: (?:Where to\?|Then (s\d+)\?)\nAnswer:$")
SEARCHES = 1_000_000  # worlds that one seed has
NORMAL = NormalDist()


@dataclass(frozen=True)
class Setting:
    """One cell of the map. Raises ValueError or TypeError that names the field."""

    depth: int = 3  # steps to the answer
    p: float = 0.5  # mean chance that a drawn step is right
    spread: float = 0.0  # between states: the variance of that chance is spread * p (1 - p); near 1: always or never
    wrong: int = 4  # distinct wrong texts that a state can produce
    tilt: float = 1.0  # chance of each wrong text over that of the one before it; 1: all alike
    dead: float = 0.0  # chance that a wrong step leads to a state where every draw is empty, at full price
    auc: float = 0.9  # of the critic's score, for one look at one step
    whole_path: bool = True  # judge a step with all before it; else a right step from a wrong state is right
    overconfidence: float = 1.0  # the critic's chance of a mistake is divided by it; 1: calibrated
    scale: float = 0.4  # eta, of the residual
    tokens_per_step: int = 4
    tokens: int = 48  # the budget
    tool_calls: int | None = None  # the budget; a call reads one state's page

    def __post_init__(self) -> None:
        for name in ("depth", "tokens_per_step"):
            check_count(name, getattr(self, name), least=1)
        check_range("wrong", check_count("wrong", self.wrong, least=1), 1, 9)  # one digit
        check_range("p", self.p, 1e-6, 1.0)
        check_range("spread", self.spread, 0.0, 0.95)
        check_range("tilt", self.tilt, 1e-6, 1.0)
        check_range("dead", self.dead, 0.0, 1.0)
        check_range("auc", self.auc, 0.5, 1.0)
        check_range("overconfidence", self.overconfidence, 1.0, 1e6)
        check_range("scale", self.scale, 0.0, 1.0)
        Budget(self.tokens, self.tool_calls)

    @property
    def budget(self) -> Budget:
        """What a search may use."""
        return Budget(self.tokens, self.tool_calls)

    @property
    def separation(self) -> float:
        """d, the distance of the critic's two normals in standard deviations."""
        return math.sqrt(2.0) * NORMAL.inv_cdf(self.auc) if self.auc < 1.0 else math.inf


@dataclass(slots=True)
class State:
    """Where some steps have led, and what is drawn there."""

    path: str
    right: bool  # every step so far
    chance: float  # of that, by the critic: its exact posterior
    dead: bool
    p: float  # chance that a draw is right
    rng: random.Random  # of the draws
    texts: dict[int, Sample] = field(default_factory=dict)  # by digit
    drawn: list[Sample] = field(default_factory=list)


class World(ScriptedModel):
    """One instance of a setting. It is the model; `page` is the tool, `judge` the critic, `plan` the plan."""

    setting: Setting
    seed: int

    def __init__(self, setting: Setting, seed: int = 0):
        super().__init__(self._weights, name="simulator")
        self.setting, self.seed = setting, check_count("seed", seed)
        self.plan: tuple[str, ...] = (FIRST, *(f"Then #{i}?" for i in range(1, setting.depth)))
        self.answer = "s" + "0" * setting.depth
        mass = [setting.tilt**i for i in range(setting.wrong)]
        self.wrong: list[float] = [x / sum(mass) for x in mass]  # (wrong,) shares of the chance 1 - p
        self.bounds: list[float] = list(accumulate(self.wrong))[:-1]
        self.separation: float = setting.separation
        self.judge: Judge = Judge(self, setting.scale, setting.overconfidence)
        self._known: dict[str, State] = {}

    def state(self, path: str) -> State:
        """The state that a path leads to. Raises ValueError for a text that is no path."""
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = self._make(path)
        return found

    def sample(
        self,
        prompt: str,
        k: int,
        *,
        first: int = 0,
        seed: int = 0,
        max_new_tokens: int = 8,
        temperature: float = 0.8,
        top_k: int = 40,
        stop: Sequence[str] = ("\n",),
        layers: Sequence[int] = (),
    ) -> list[Sample]:
        """Draws number `first` .. `first + k - 1` of the prompt's state. A world has its own seed; `seed` is unused."""
        check_sampling(prompt, k, first, seed, max_new_tokens, temperature, top_k, stop)
        state = self.state(self._path(prompt))
        while len(state.drawn) < first + k:
            state.drawn.append(self._text(state, self._digit(state, state.rng.random())))
        found = state.drawn[first : first + k]
        if temperature == 0:
            found = [self._likeliest(state)] * k
        return [cut(sample, max_new_tokens) for sample in found]

    def page(self, query: str) -> str:
        """The tool: something to read about a state, nothing about a dead end."""
        return "" if query != FIRST and self.state(query).dead else f"About {query}."

    def _path(self, prompt: str) -> str:
        match = PROMPT.search(prompt)
        if match is None:
            raise ValueError(f"prompt must end with a step of the world's plan, got {prompt[-60:]!r}")
        return match[1] or "s"

    def _weights(self, prompt: str) -> Mapping[str, float]:
        """The exact chances of the next texts, for `score`, `probabilities` and tests."""
        state = self.state(self._path(prompt))
        if state.dead:
            return {"": 1.0}
        chances = [state.p, *((1.0 - state.p) * share for share in self.wrong)]
        return {f"{state.path}{digit}": chance for digit, chance in enumerate(chances)}

    def _make(self, path: str) -> State:
        setting, rng = self.setting, random.Random(f"{self.seed} {path}")
        luck, noise, p = rng.random(), NORMAL.inv_cdf(max(rng.random(), 1e-300)), setting.p
        if setting.spread and p < 1.0:
            size = 1.0 / setting.spread - 1.0  # of the Beta distribution, alpha + beta
            p = rng.betavariate(p * size, (1.0 - p) * size)
        if path == "s":
            return State(path, True, 1.0, False, p, rng)
        if not PATH.fullmatch(path):
            raise ValueError(f"a state is named by s and a digit for each step, got {path[:80]!r}")
        before, good = self.state(path[:-1]), path[-1] == "0"
        right = before.right and good
        label, prior = (right, before.chance * setting.p) if setting.whole_path else (good, setting.p)
        chance = posterior(prior, label, noise, self.separation)
        return State(path, right, chance, not good and luck < setting.dead, p, rng)

    def _digit(self, state: State, luck: float) -> int:
        return 0 if luck < state.p else 1 + bisect(self.bounds, (luck - state.p) / (1.0 - state.p))

    def _likeliest(self, state: State) -> Sample:
        return self._text(state, 0 if state.p >= (1 - state.p) * self.wrong[0] else 1)

    def _text(self, state: State, digit: int) -> Sample:
        found = state.texts.get(digit)
        if found is None:
            tokens = self.setting.tokens_per_step
            text, chance = f"{state.path}{digit}", state.p if digit == 0 else (1.0 - state.p) * self.wrong[digit - 1]
            if state.dead:
                text, chance = "", 1.0
            logprobs = (math.log(max(chance, 1e-300)), *[0.0] * (tokens - 1))
            found = state.texts[digit] = Sample(text, tokens, logprobs, True)
        return found


@dataclass(frozen=True)
class Judge:
    """The critic of a world: residuals of the chance that a step, with all before it if `whole_path`, is right."""

    world: World = field(repr=False)
    scale: float = 0.4
    overconfidence: float = 1.0

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]."""
        chances = [self.world.state(step.text).chance for step in steps]
        return [residual(1.0 - (1.0 - chance) / self.overconfidence, self.scale) for chance in chances]


def cut(sample: Sample, cap: int) -> Sample:
    """A sample under a cap of tokens: unfinished if it is longer."""
    if sample.tokens <= cap:
        return sample
    return Sample(sample.text if cap else "", cap, sample.logprobs[:cap], False)


def posterior(prior: float, label: bool, noise: float, separation: float) -> float:
    """Chance of right after a score `noise` standard deviations above the mean of its kind, d = `separation`.

    The log of the likelihood ratio of N(d/2, 1) to N(-d/2, 1) at s is d s.
    """
    if math.isinf(separation):
        return float(label)
    kept = min(1.0 - 1e-12, max(1e-12, prior))
    score = noise + (separation if label else -separation) / 2.0
    return 0.5 + 0.5 * math.tanh(0.5 * (math.log(kept / (1.0 - kept)) + separation * score))


# Methods

Method = Callable[[World], Searcher]


def tree(world: World, selection: Selection | None = None, **options: Any) -> BudgetAwareValueTreeSearch:
    """The tree search on a world; `options` go to it."""
    own: dict[str, Any] = {"seed": world.seed, "examples": "", "max_new_tokens": world.setting.tokens_per_step}
    tool, budget = world.page, world.setting.budget
    return BudgetAwareValueTreeSearch(world, world.judge, budget, tool, selection=selection, **(own | options))


def chains(world: World, critic: Critic | None = None, **options: Any) -> ParallelChains:
    """Parallel chains on a world; `options` go to them."""
    own: dict[str, Any] = {"seed": world.seed, "examples": "", "max_new_tokens": world.setting.tokens_per_step}
    return ParallelChains(world, critic, world.setting.budget, world.page, **({"max_chains": 1000} | own | options))


def scheduled(schedule: Callable[[float], float]) -> Method:
    """The paper's rule with another exponent than 1/r."""
    return lambda world: tree(world, BudgetAware(schedule=schedule))


def root_of_share(r: float) -> float:
    """The exponent 1 / sqrt r: 1 at the start, 50 only when 1/2500 of the budget is left."""
    return 1.0 / math.sqrt(max(r, 1e-9))


def reversed_share(r: float) -> float:
    """The exponent 1 / (1 - r): the paper's, run backward. Greedy while rich, broad when poor: a control."""
    return 1.0 / max(1.0 - r, 1e-9)


def decay_inside(values: ArrayLike, visits: ArrayLike, r: float) -> NDArray[np.float64]:
    """(V decay^n)^(1/r): the paper's rule on what `greedy` takes the best of, so that its limit is `greedy`."""
    v, n = checked(values, visits, r)
    return BudgetAware(decay=1.0)(v * BudgetAware.decay**n, n, r)


PAPER = "V^(1/r)"
SCHEDULES: dict[str, Method] = {
    PAPER: tree,
    "1/sqrt r": scheduled(root_of_share),
    "1/r up to 4": lambda world: tree(world, BudgetAware(alpha_max=4.0)),
    "1 + 3 (1 - r)": scheduled(lambda r: 1.0 + 3.0 * (1.0 - r)),
    "alpha = 1": scheduled(lambda r: 1.0),
    "alpha = 4": scheduled(lambda r: 4.0),
    "alpha = 50": scheduled(lambda r: 50.0),
    "1/(1 - r)": scheduled(reversed_share),
    "decay inside": lambda world: tree(world, decay_inside),
    "greedy": lambda world: tree(world, greedy),
}
OTHERS: dict[str, Method] = {
    "guide's UCB": lambda world: tree(world, BudgetAwareUCB(total_budget=max(1, world.setting.tokens))),
    "scaled UCB": lambda world: tree(world, BudgetAwareUCB(total_budget=max(1, world.setting.tokens), scaled=True)),
    "uniform": lambda world: tree(world, uniform),
    "vote": chains,
    "rerank": lambda world: chains(world, world.judge),
    "rerank, pages shared": lambda world: chains(world, world.judge, share_pages=True),
    "greedy chain": lambda world: chains(world, max_chains=1, temperature=0.0),
}
METHODS = SCHEDULES | OTHERS


class Row(NamedTuple):
    """What one method did in one world."""

    method: str
    world: int
    right: bool
    found: bool  # a right answer was among those found, chosen or not
    tokens: int
    tool_calls: int
    reason: str


def simulate(setting: Setting, methods: Mapping[str, Method], searches: int, seed: int = 0) -> list[Row]:
    """Every method in each of `searches` worlds, which are the same for all of them."""
    rows = []
    check_range("searches", check_count("searches", searches, least=1), 1, SEARCHES)
    for number in range(searches):
        world = World(setting, check_count("seed", seed) * SEARCHES + number)
        for name, build in methods.items():
            result = build(world).search(QUESTION, setting.depth, world.plan)
            answers = [event.data["answer"] for event in result.trace.events if event.kind == "answered"]
            right, found, spent = result.answer == world.answer, world.answer in answers, result.ledger.spent
            rows.append(Row(name, number, right, found, spent["tokens"], spent["tool_calls"], result.reason))
    return rows
