"""The planner's adapter: from a question to its sub-questions, and how well it does on worlds that it has not seen.

Each relation has one sub-question, whatever the wording of the question, so that a question has one right plan.
Budgets vary and do not change the plan: the planner is to read the question in any frame.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple

from ..checks import check_choice, check_count
from ..models.hf import HFModel
from ..planner import format_plan, parse_plan
from ..tasks.encyclopedia import RELATIONS, SPLITS, make_world, pick, question_about
from .labels import SEEN_WORDINGS, UNSEEN_PAIRS, UNSEEN_WORDINGS, wilson
from .lora import Example, Recipe, greedy

RECIPE = Recipe(steps=200, batch=16)
HOPS = (2, 3, 4, 4)  # of a train world's own questions, and again of its free chains: half are the hardest
ASKED = 80  # questions of a train world to choose these from
PER_WORLD = 5  # questions of a world that are evaluated
MOST_TOKENS = 96  # of a plan
TOKENS = ("16", "32", "64", "100", "128", "250", "256", "500", "512", "1000", "unlimited")
CALLS = ("4", "5", "8", "10", "16", "20", "32", "64", "unlimited")

# Phrases that no world uses, so that the planner learns what a relation means and not three ways to say it. The fourth
# wording of the worlds, on which it is tested, is not among them.
PHRASES = {
    "employer": "the workplace of {}|the company that hired {}|the business that pays {}|"
    "the company that has {} on its staff|the company where {} has a job",
    "teacher": "the tutor of {}|the mentor of {}|the one who gave lessons to {}|the person from whom {} learned|"
    "the person who had {} as a student",
    "home": "the place where {} lives|the residence of {}|the city in which {} now lives|the place that {} calls home",
    "spouse": "the husband or wife of {}|the wife or husband of {}|the person who married {}|"
    "the one to whom {} is married",
    "seat": "the headquarters of {}|the place where {} has its head office|the base of {}|"
    "the city in which {} has its headquarters",
    "chief": "the boss of {}|the director of {}|the manager of {}|the president of {}|the person in charge of {}",
    "rival": "the competitor of {}|the company that {} competes with|the rival business of {}|"
    "the business against which {} competes",
    "mayor": "the current mayor of {}|the elected mayor of {}|the mayor now in office in {}|"
    "the official at the head of {}",
    "twin": "the sister city of {}|the twin city of {}|the town paired with {}|the city that {} is twinned with",
    "poet": "the well-known poet of {}|the poet that {} is known for|the writer of poems from {}|"
    "the poet associated with {}",
    "peak": "the mountain to the north of {}|the mountain that stands north of {}|the height north of {}|"
    "the mountain which {} has to its north",
    "mouth": "the place where the {} ends|the city where the {} meets the sea|"
    "the city in which the {} comes to its end|the end of the {}",
    "climber": "the earliest climber of {}|the person who made the first ascent of {}|"
    "the climber who first reached the top of {}|the person who was first up {}",
    "camp": "the closest city to {}|the town at the base of {}|the city that is closest to {}|"
    "the place at the bottom of {}",
}


class Planned(NamedTuple):
    """A question, and the one plan that is right."""

    text: str
    start: str  # the title that it starts from
    relations: tuple[str, ...]

    @property
    def plan(self) -> tuple[str, ...]:
        """Its sub-questions."""
        return canonical_plan(self.start, self.relations)

    @property
    def unseen(self) -> bool:
        """Whether one relation follows another in a way that is kept back from training."""
        return any(pair in UNSEEN_PAIRS for pair in pairwise(self.relations))


def canonical_plan(start: str, relations: Sequence[str]) -> tuple[str, ...]:
    """The sub-questions from `start` along `relations`, each in its first wording."""
    return tuple(RELATIONS[name].asks[0].format(f"#{hop}" if hop else start) for hop, name in enumerate(relations))


def planned(seed: int, questions: int, wordings: Sequence[int] = SEEN_WORDINGS) -> list[Planned]:
    """The first questions of the world of `seed` with what their plans are made of."""
    world, gold = make_world(seed, questions, wordings)
    found = []
    for question in world.questions:
        relations = gold[question.id].relations
        # The world keeps the start to itself; it is the title that the first sub-question is about.
        asks = (ask.split("{}") for ask in RELATIONS[relations[0]].asks)
        starts = {question.plan[0][len(before) : -len(after)] for before, after in asks} & set(world.pages)
        if len(starts) != 1:
            raise ValueError(f"{question.id}: the start of {question.plan[0]!r} is not clear")
        found.append(Planned(question.text, starts.pop(), relations))
    return found


def prompt(question: str, number: int) -> str:
    """What the planner reads: the frame of `Planner.prompt`, with a budget that `number` chooses."""
    draw = hashlib.sha256(f"budget {number}".encode()).digest()
    tokens, calls = TOKENS[draw[0] % len(TOKENS)], CALLS[draw[1] % len(CALLS)]
    if draw[2] % 8 == 0:
        tokens = calls = "unlimited"
    return f"Budget: {tokens} tokens, {calls} lookups\nQuestion: {question}\nPlan:"


def example(number: int) -> Example:
    """Question `number` of the train worlds, to learn its plan. The same number always gives the same example."""
    chosen = choice(number)
    return [(prompt(chosen.text, number), False), (format_plan(chosen.plan), True)]


def choice(number: int) -> Planned:
    """Question `number` of the train worlds; what they are like is told in `_chosen`."""
    world, place = divmod(number, 2 * len(HOPS))
    return _chosen(SPLITS["train"][world % len(SPLITS["train"])])[place]  # after the last world the first again


@lru_cache(maxsize=64)
def _chosen(seed: int) -> tuple[Planned, ...]:
    """The examples of a world, without a pair that is kept back: its own questions, then as many free chains.

    From its own questions alone the planner learns which relations follow each other, and misreads the pairs kept back.
    Free chains teach it that each phrase has its sub-question, whatever stands before it. Half of its own questions and
    all free chains are in words that may be of PHRASES.
    """
    fit = [asked for asked in planned(seed, ASKED) if not asked.unseen]
    queues = {hops: iter([asked for asked in fit if len(asked.relations) == hops]) for hops in set(HOPS)}
    # A world that has too few of one length gives another of its questions.
    own = [next(queues[hops], fit[place]) for place, hops in enumerate(HOPS)]
    rng = random.Random(seed)
    worded = [reworded(rng, each.start, each.relations) if place % 2 else each for place, each in enumerate(own)]
    return (*worded, *(reworded(rng, each.start, free_chain(rng, each.relations)) for each in own))


def free_chain(rng: random.Random, relations: Sequence[str]) -> tuple[str, ...]:
    """As many relations, which need not fit together: "the mayor of the spouse of Ashton". No pair is kept back."""
    names = [name for name in RELATIONS if name != "mouth"]  # "the mouth of the" wants a river's bare name
    first = ("mouth",) if relations[0] == "mouth" else ()
    while True:
        found = (*first, *(pick(rng, names) for _ in relations[len(first) :]))
        if UNSEEN_PAIRS.isdisjoint(pairwise(found)):
            return found


def reworded(rng: random.Random, start: str, relations: Sequence[str]) -> Planned:
    """The question that chains `relations` from `start`, each in a wording of training or a phrase of PHRASES."""
    text = start
    for name in relations:
        phrases = [*(RELATIONS[name].nouns[i] for i in SEEN_WORDINGS), *PHRASES[name].split("|")]
        text = pick(rng, phrases).format(text)
    return Planned(question_about(rng, relations[-1], text), start, tuple(relations))


def data(recipe: Recipe = RECIPE) -> dict[str, Any]:
    """What a training reads, for its card."""
    asked = [choice(number) for number in range(recipe.steps * recipe.batch)]
    return {
        "split": "train",
        "worlds": min(-(-len(asked) // (2 * len(HOPS))), len(SPLITS["train"])),
        "questions": len(asked),
        "hops": dict(sorted(Counter(str(len(each.relations)) for each in asked).items())),
        "relations": dict(sorted(Counter(name for each in asked for name in each.relations).items())),
        "pairs": len({pair for each in asked for pair in pairwise(each.relations)}),
        "wordings": list(SEEN_WORDINGS),
        "kept_back": {"pairs": sorted(map(list, UNSEEN_PAIRS)), "wordings": list(UNSEEN_WORDINGS)},
    }


def questions_of(
    split: str, pairs: str = "any", wordings: Sequence[int] = SEEN_WORDINGS, first: int = 0
) -> Iterator[Planned]:
    """Questions of the worlds of a split, `PER_WORLD` each, from world `first` on.

    `pairs`: those with a pair of relations that is kept back from training ("unseen"), those without, or any.
    """
    check_choice("pairs", pairs, ("seen", "unseen", "any"))
    for seed in SPLITS[split][first:]:
        asked = planned(seed, PER_WORLD * (8 if pairs == "unseen" else 2), wordings)
        yield from islice((q for q in asked if pairs == "any" or q.unseen == (pairs == "unseen")), PER_WORLD)


def evaluate_planner(
    model: HFModel,
    split: str = "dev",
    questions: int = 200,
    pairs: str = "seen",
    wordings: Sequence[int] = SEEN_WORDINGS,
    say: Callable[[str], Any] = print,
    first: int = 0,
) -> dict[str, Any]:
    """Greedy plans for so many questions of a split, from world `first` on, compared with the right ones word for word.

    Returns "questions", "exact" (share), "interval" (Wilson, 95 %), "errors" by kind and "by_hops" (exact, asked).
    """
    check_count("questions", questions, least=1)
    asked = list(islice(questions_of(split, pairs, wordings, first), questions))
    prompts = [prompt(question.text, number) for number, question in enumerate(asked)]
    right = greedy(model, prompts, [format_plan(question.plan) for question in asked])
    errors: Counter[str] = Counter()
    hops: dict[int, list[int]] = {}
    for number, question in enumerate(asked):
        kind = "" if right[number] else fault(model, prompts[number], question)
        counts = hops.setdefault(len(question.relations), [0, 0])
        counts[0] += not kind
        counts[1] += 1
        if kind:
            errors[kind] += 1
            say(f"{kind}: {question.text}")
    exact = len(asked) - errors.total()
    return {
        "questions": len(asked),
        "exact": round(exact / len(asked), 4),
        "interval": wilson(exact, len(asked)),
        "errors": dict(errors.most_common()),
        "by_hops": {str(n): tuple(hops[n]) for n in sorted(hops)},
    }


def fault(model: HFModel, text: str, question: Planned) -> str:
    """What is wrong with the greedy plan for a question, or ""."""
    sample = model.sample(text, 1, max_new_tokens=MOST_TOKENS, temperature=0.0, stop=("\n\n",))[0]
    try:
        if not sample.finished:
            raise ValueError("it does not end")
        return compare(parse_plan(sample.text), question)
    except ValueError:
        return "malformed"


def compare(plan: Sequence[str], question: Planned) -> str:
    """The first difference between a plan and the right one, or ""."""
    if len(plan) != len(question.relations):
        return f"{len(plan)} hops, not {len(question.relations)}"
    for hop, (step, name) in enumerate(zip(plan, question.relations, strict=True), 1):
        before, after = RELATIONS[name].asks[0].split("{}")
        if not (step.startswith(before) and step.endswith(after)):
            return f"wrong relation at hop {hop}"
        if step[len(before) : -len(after)] != (f"#{hop - 1}" if hop > 1 else question.start):
            return "wrong reference" if hop > 1 else "wrong name copied"
    return ""
