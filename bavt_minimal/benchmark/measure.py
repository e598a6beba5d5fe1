"""What a model and a critic do on a task, measured on a few dozen questions with gold answers.

`measure` draws steps where the right ones lead, and one wrong step off that way: plan lengths, the chance of a right
step and how it differs between states, what wrong steps look like, the tokens of a step, how well the critic ranks and
how far it can be believed. `pays.py` makes a forecast of it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..budget import Ledger
from ..checks import check_count
from ..critic import Critic
from ..critics.calibration import auc
from ..residual import chance
from ..steps import Generator, LanguageModel, Step, Tool, check_plan, normalize
from ..tasks.data import Gold, Question
from ..tasks.data import World as Data
from ..tasks.lookup import tool_for
from .scores import Interval
from .simulator import Setting

Array = NDArray[np.float64]
LEAST = 10  # questions; with fewer the intervals say nothing
WIDTH = 4  # states of a depth that are followed where only the final answer is known


class Case(NamedTuple):
    """A question with its gold answer, and the tool that looks things up for it."""

    question: Question
    gold: Gold
    tool: Tool | None


class Text(NamedTuple):
    """One distinct text in a state."""

    right: bool
    copies: int  # draws
    tokens: int  # of one draw
    adds: bool = True  # False: empty, cut off or a repeat
    chance: float = math.nan  # that it is right, by the critic; NaN if it was not judged


class State(NamedTuple):
    """What was drawn in one state."""

    texts: tuple[Text, ...]
    greedy: Text | None = None  # what temperature 0 gives; None: not asked
    before: float = 1.0  # chance of all before it, by the critic

    @property
    def draws(self) -> int:
        """All of them."""
        return sum(each.copies for each in self.texts)

    @property
    def right(self) -> int:
        """Draws of a right text."""
        return sum(each.copies for each in self.texts if each.right)

    @property
    def wrong(self) -> tuple[Text, ...]:
        """Wrong texts, those that add something first, and of these the most common one."""
        texts = (each for each in self.texts if not each.right)
        return tuple(sorted(texts, key=lambda each: (not each.adds, -each.copies)))

    @property
    def tokens(self) -> int:
        """Of all draws."""
        return sum(each.copies * each.tokens for each in self.texts)

    @property
    def useless(self) -> bool:
        """Whether no draw adds anything."""
        return not any(each.adds for each in self.texts)

    @property
    def judged(self) -> tuple[Text, ...]:
        """Texts that the critic was asked about."""
        return tuple(each for each in self.texts if not math.isnan(each.chance))


class Seen(NamedTuple):
    """What was drawn for a question: in the states on the right way, and in some one wrong step off it."""

    depth: int  # of its plan
    states: tuple[State, ...]
    off: tuple[State | None, ...] = ()  # after the first wrong text of each of these; None: not there


# What was measured


@dataclass(frozen=True)
class Measured:
    """What was drawn for each question, and the simulator's numbers for it."""

    seen: tuple[Seen, ...]
    scale: float = 1.0  # eta, of the critic
    cap: int = 8  # the most tokens of a step
    judge_tokens: int = 0  # the most that judging a step generates

    @cached_property
    def depths(self) -> list[int]:
        """Of all plans, in order."""
        return sorted(each.depth for each in self.seen)

    @cached_property
    def judged(self) -> list[Text]:
        """Each text in each state on the right way."""
        return [each for state in self.on for each in state.judged]

    @cached_property
    def on(self) -> list[State]:
        """States on the right way."""
        return [state for each in self.seen for state in each.states]

    @cached_property
    def off(self) -> list[State]:
        """States after a wrong step."""
        return [state for each in self.seen for state in each.off if state]

    @cached_property
    def tokens(self) -> float:
        """Mean of a step."""
        states = self.on + self.off
        return max(1.0, sum(state.tokens for state in states) / max(1, sum(state.draws for state in states)))

    @cached_property
    def setting(self) -> Setting:
        """The cell of the map that this is, its depth the mean of all. A forecast takes the states themselves."""
        judged, off = self.judged, self.off
        p, spread = step_chance([state.right for state in self.on], [state.draws for state in self.on])
        wrong, tilt = wrong_texts([[each.copies for each in state.wrong] for state in self.on])
        ranks = ranking(judged)
        return Setting(
            depth=max(1, round(sum(self.depths) / len(self.depths))),
            p=min(1.0, max(1e-6, p)),
            spread=spread,
            wrong=wrong,
            tilt=tilt,
            dead=sum(state.useless for state in off) / max(1, len(off)),
            auc=max(0.5, ranks),
            whole_path=sees_path(judged, [each for state in off for each in state.judged], ranks),
            overconfidence=overconfidence(judged),
            scale=self.scale,
            tokens_per_step=max(1, round(self.tokens)),
        )

    def resample(self, rng: np.random.Generator) -> Measured:
        """As many of the questions, drawn with replacement."""
        return replace(self, seen=tuple(self.seen[i] for i in rng.integers(len(self.seen), size=len(self.seen))))

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The numbers by name, from 200 resamples. `auc` is not cut off at .5 here."""
        rng, n = np.random.default_rng(0), len(self.seen)
        values = self._numbers()
        drawn = [self.resample(rng)._numbers() for _ in range(200)]
        ends = {name: np.nanpercentile([each[name] for each in drawn], [2.5, 97.5]) for name in values}
        return {name: Interval(value, float(ends[name][0]), float(ends[name][1]), n) for name, value in values.items()}

    def _numbers(self) -> dict[str, float]:
        setting = self.setting
        names = ("p", "spread", "wrong", "tilt", "dead", "overconfidence")
        found = {name: float(getattr(setting, name)) for name in names}
        return found | {
            "depth": sum(self.depths) / len(self.depths),
            "tokens": self.tokens,
            "auc": ranking(self.judged),
            "whole_path": float(setting.whole_path),
        }

    def __str__(self) -> str:
        said = {name: short(each) for name, each in self.intervals.items()}
        setting = self.setting
        return (
            f"{len(self.seen)} questions of {self.depths[0]} to {self.depths[-1]} steps, of {self.tokens:.1f} tokens\n"
            f"chance that a drawn step is right {said['p']}, its variance between states {said['spread']} of the most\n"
            f"wrong steps: about {setting.wrong} texts, each {setting.tilt:.2g} times as likely as the one before; "
            f"{setting.dead:.0%} lead nowhere\n"
            f"critic: AUC {said['auc']}, its chance of a mistake is to be multiplied by {said['overconfidence']}; "
            f"it sees {'the whole path' if setting.whole_path else 'one step only'}"
        )


def step_chance(right: Sequence[int], draws: Sequence[int]) -> tuple[float, float]:
    """Mean chance of a right draw, and its variance between states as a share of p (1 - p).

    The moments of a beta-binomial, by the analysis of variance (Ridout, Demetrio and Firth 1999).
    """
    k, n = np.asarray(right, dtype=float), np.asarray(draws, dtype=float)
    total, states = n.sum(), len(n)
    p = float(k.sum() / max(1.0, total))
    if states < 2 or total <= states or not 0.0 < p < 1.0:
        return p, 0.0
    share = k / np.maximum(n, 1.0)
    between = float((n * (share - p) ** 2).sum()) / (states - 1)
    within = float((n * share * (1.0 - share)).sum()) / (total - states)
    size = (total - (n**2).sum() / total) / (states - 1)  # draws of a state
    return p, float(min(0.95, max(0.0, (between - within) / (between + (size - 1.0) * within))))


def wrong_texts(counts: Sequence[Sequence[int]]) -> tuple[int, float]:
    """How many wrong texts a state has, 1 .. 9, and their tilt: those that fit the counts of each text best.

    Two numbers are fitted: how often two wrong draws of a state are the same text, and how many texts were seen.
    """
    own = [np.asarray(state, dtype=float) for state in counts if sum(state) > 1]
    if not own:
        return Setting.wrong, Setting.tilt  # nothing is known of them, and nothing depends on them much
    draws = np.array([state.sum() for state in own])
    pairs = sum(float((state * (state - 1)).sum()) for state in own) / float((draws * (draws - 1)).sum())
    distinct = sum(map(len, own)) / draws.sum()

    def misfit(guess: tuple[int, float]) -> float:
        shares = guess[1] ** np.arange(guess[0])
        shares /= shares.sum()
        texts = (1.0 - (1.0 - shares) ** draws[:, None]).sum() / draws.sum()
        return float(((shares**2).sum() - pairs) ** 2 + (texts - distinct) ** 2)

    tilts = (*np.round(np.arange(0.05, 1.0, 0.05), 2), 1.0)
    return min([(1, 1.0), *((wrong, float(tilt)) for wrong in range(2, 10) for tilt in tilts)], key=misfit)


def ranking(judged: Sequence[Text]) -> float:
    """AUC of the critic over distinct texts. 1/2 without both kinds.

    Half a pair in the wrong order is added: that none was seen does not mean that there are none.
    """
    right = sum(each.right for each in judged)
    pairs = right * (len(judged) - right)
    if not pairs:
        return 0.5
    return (auc([each.chance for each in judged], [each.right for each in judged]) * pairs + 0.5) / (pairs + 1.0)


def sees_path(judged: Sequence[Text], off: Sequence[Text], ranks: float) -> bool:
    """Whether the critic marks down what follows a mistake as it does the mistake, or judges each step for itself.

    In the second case a share of the steps there is right by itself, and those look as good as any.
    """
    right = [each.chance for each in judged if each.right]
    if not right or not off:
        return True
    apart = auc([*right, *(each.chance for each in off)], [1] * len(right) + [0] * len(off))
    share = len(right) / len(judged)
    alone = share * 0.5 + (1.0 - share) * ranks
    return apart >= (alone + ranks) / 2.0


def overconfidence(judged: Sequence[Text]) -> float:
    """Mistakes over those that the critic expects, in draws; within 1 .. 1000."""
    wrong = sum(each.copies for each in judged if not each.right)
    expected = sum(each.copies * (1.0 - each.chance) for each in judged)
    return min(1000.0, max(1.0, wrong / max(expected, 1e-9)))


# Measuring


def cases_of(data: Data, golds: Mapping[str, Gold], tool: Tool | None = None) -> list[Case]:
    """The questions with a gold answer. `tool`: by default one that looks up the pages, a question's own if it has any.

    Without pages there is no tool.
    """
    shared = tool_for(data) if tool is None else tool
    tools = {id: tool_for(data, id) for id in data.own_pages if id in golds} if tool is None else {}
    return [Case(each, golds[each.id], tools.get(each.id, shared)) for each in data.questions if each.id in golds]


def measure(
    model: LanguageModel,
    critic: Critic,
    cases: Sequence[Case],
    *,
    draws: int = 8,
    seed: int = 0,
    progress: Callable[[Iterable[Case]], Iterable[Case]] = iter,
    **options: Any,
) -> Measured:
    """Draw steps for each question and have them judged.

    `progress` is put around the questions; `options` go to `Generator`. Questions without a plan are left out. Raises
    ValueError if fewer than 10 are left, and ValueError or TypeError if the critic returns anything but one number in
    [-1, 1] a step.
    """
    planned = check_cases(cases)
    seen = tuple(look(model, critic, case, draws=draws, seed=seed, **options) for case in progress(planned))
    cap = Generator(model, **options).max_new_tokens
    return Measured(seen, getattr(critic, "scale", 1.0), cap, int(getattr(critic, "tokens_per_step", 0)))


def check_cases(cases: Sequence[Case]) -> list[Case]:
    """Those with a plan. Raises ValueError unless there are 10."""
    planned = [case for case in cases if case.question.plan]
    if len(planned) < LEAST:
        raise ValueError(
            f"cases must be at least {LEAST} questions with a gold answer and a plan; got {len(cases)} with an answer,"
            f" {len(planned)} of them with a plan"
        )
    return planned


def look(model: LanguageModel, critic: Critic, case: Case, *, draws: int = 8, seed: int = 0, **options: Any) -> Seen:
    """One question of `measure`.

    With gold answers of the sub-questions, the right way is theirs. Without, a step is right if a chain of drawn steps
    through it reaches the gold answer, of which the `WIDTH` likeliest are followed; the way is the likeliest of these.
    A question whose answer none of them reaches counts as one state in which every draw is wrong, and its steps are
    not used to judge the critic.
    """
    plan = check_plan(case.question.text, case.question.plan)
    own = {"layers": getattr(critic, "layers", ()), **options}
    eye = _Look(Generator(model, case.tool, seed=seed, **own).start(plan), critic, check_count("draws", draws, least=2))
    if case.gold.path:
        if len(case.gold.path) != len(plan):
            raise ValueError(f"gold path of {case.question.id!r} must have {len(plan)} answers, as its plan has")
        path: Sequence[str] = case.gold.path
        right: list[Collection[str]] = [{normalize(text)} for text in path]
    else:
        path, right = eye.ways(case.gold.answer)
        if not path:
            return Seen(len(plan), (eye.state((), ()),))
    states, off = list[State](), list[State | None]()
    for hop in range(len(plan)):
        before = tuple(path[:hop])
        sure = (eye.scale,) * hop  # what is before is right, and the critic is told: what it thinks of this step counts
        states.append(eye.state(before, right[hop], sure))
        texts = [s.text for s in eye.steps(before) if not s.fault() and normalize(s.text) not in right[hop]]
        if texts and hop + 1 < len(plan):
            wrong = Counter(map(normalize, texts)).most_common(1)[0][0]
            text = next(text for text in texts if normalize(text) == wrong)
            off.append(eye.state((*before, text), (), (*sure, eye.residuals(before, sure)[wrong])))
        else:
            off.append(None)
    return Seen(len(plan), tuple(states), tuple(off))


@dataclass
class _Look:
    """Draws and judgments of one question, each state's once."""

    generator: Generator
    critic: Critic
    draws: int
    drawn: dict[tuple[str, ...], list[Step]] = field(default_factory=dict)
    said: dict[tuple[str, ...], dict[str, float]] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """eta, of the critic."""
        return float(getattr(self.critic, "scale", 1.0))

    def steps(self, answers: tuple[str, ...]) -> list[Step]:
        """What is drawn in a state."""
        if answers not in self.drawn:
            self.generator.read(answers, Ledger())
            prompt = self.generator.prompt(answers, Ledger())
            self.drawn[answers] = self.generator.propose(answers, prompt, self.draws, Ledger())
        return self.drawn[answers]

    def likeliest(self, answers: tuple[str, ...]) -> Step:
        """The step at temperature 0."""
        generator = self.generator.follow(self.generator.plan)
        generator.temperature = 0.0
        return generator.propose(answers, generator.prompt(answers, Ledger()), 1, Ledger())[0]

    def residuals(self, answers: tuple[str, ...], said: tuple[float, ...]) -> dict[str, float]:
        """What the critic says of the texts of a state, all at once, as in the search."""
        if answers not in self.said:
            texts = {normalize(s.text): replace(s, residuals=said) for s in self.steps(answers) if not s.fault()}
            self.said[answers] = dict(zip(texts, judge(self.critic, list(texts.values())), strict=True))
        return self.said[answers]

    def state(self, answers: tuple[str, ...], right: Collection[str], said: tuple[float, ...] | None = None) -> State:
        """`right`: texts, normalized. Without `said` nothing is judged."""
        steps = self.steps(answers)
        likeliest = self.likeliest(answers)
        chances = {} if said is None else {t: chance(r, self.scale) for t, r in self.residuals(answers, said).items()}

        def text(step: Step, copies: int) -> Text:
            spelled, adds = normalize(step.text), not step.fault()
            judged = chances.get(spelled, math.nan) if adds else math.nan
            return Text(adds and spelled in right, copies, step.sample.tokens, adds, judged)

        kinds = {(normalize(step.text), step.fault()): step for step in reversed(steps)}
        counts = Counter((normalize(step.text), step.fault()) for step in steps)
        texts = tuple(text(kinds[kind], copies) for kind, copies in counts.items())
        return State(texts, text(likeliest, 0), chance(said[-1], self.scale) if said else 1.0)

    def ways(self, answer: str) -> tuple[tuple[str, ...], list[Collection[str]]]:
        """The likeliest chain that reaches the answer, or (), and which texts of its states lead there too."""
        depth = len(self.generator.plan)
        beam: dict[tuple[str, ...], float] = {(): 1.0}
        for hop in range(depth):
            grown: dict[tuple[str, ...], float] = {}
            for answers, weight in beam.items():
                spelled: dict[str, str] = {}
                for step in self.steps(answers):
                    if not step.fault():
                        text = spelled.setdefault(normalize(step.text), step.text)
                        grown[(*answers, text)] = grown.get((*answers, text), 0.0) + weight / self.draws
            if hop + 1 == depth:
                grown = {way: w for way, w in grown.items() if normalize(way[-1]) == normalize(answer)}
            beam = dict(sorted(grown.items(), key=lambda item: -item[1])[: WIDTH if hop + 1 < depth else None])
        path = max(beam, key=lambda way: beam[way], default=())
        return path, [{normalize(way[n]) for way in beam if way[:n] == path[:n]} for n in range(len(path))]


def judge(critic: Critic, steps: Sequence[Step]) -> list[float]:
    """The critic's residuals, checked: the search would only drop what is wrong."""
    if not steps:
        return []
    returned: Any = critic(steps, Ledger())
    try:
        found = [float(each) for each in returned]
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"critic must return one number in [-1, 1] a step, got {returned!r:.100}") from error
    if len(found) != len(steps) or not all(-1.0 <= each <= 1.0 for each in found):
        raise ValueError(f"critic must return one number in [-1, 1] for each of {len(steps)} steps, got {found!r:.100}")
    return found


# Words


def short(interval: Interval, signed: bool = False) -> str:
    """Such as .46 [.40, .51], or +.21 [.12, .30]."""

    value, low, high = interval[:3]
    return f"{two(value, '+' if signed else '')} [{two(low)}, {two(high)}]"


def two(x: float, sign: str = "") -> str:
    """Two digits, as in .46 or -.05."""
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{round(x, 2) + 0.0:{sign}.2f}")  # + 0.0 makes of -0 a 0
