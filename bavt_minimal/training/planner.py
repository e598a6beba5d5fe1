"""The planner's adapter: from a question to its sub-questions, and how well it does on worlds that it has not seen.

Each relation has one sub-question, whatever the wording of the question, so that a question has one right plan.
Budgets vary and do not change the plan: the planner is to read the question in any frame.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple

from ..checks import check_choice, check_count
from ..models.hf import HFModel
from ..planner import format_plan, parse_plan
from ..tasks.encyclopedia import RELATIONS, SPLITS, make_world
from .labels import SEEN_WORDINGS, UNSEEN_PAIRS, UNSEEN_WORDINGS, wilson
from .lora import Example, Recipe, greedy

RECIPE = Recipe(steps=150, batch=16)
HOPS = (2, 3, 4, 4, 2, 3, 4, 4)  # of the examples of one train world: half are the hardest
ASKED = 80  # questions of a train world to choose these from
PER_WORLD = 5  # questions of a world that are evaluated
MOST_TOKENS = 96  # of a plan
TOKENS = ("16", "32", "64", "100", "128", "250", "256", "500", "512", "1000", "unlimited")
CALLS = ("4", "5", "8", "10", "16", "20", "32", "64", "unlimited")


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
    chosen = _choice(number)
    return [(prompt(chosen.text, number), False), (format_plan(chosen.plan), True)]


def _choice(number: int) -> Planned:
    world, place = divmod(number, len(HOPS))
    return _chosen(SPLITS["train"][world % len(SPLITS["train"])])[place]  # after the last world the first again


@lru_cache(maxsize=64)
def _chosen(seed: int) -> tuple[Planned, ...]:
    """The examples of a world: as many of each length as HOPS says, without a pair that is kept back."""
    fit = [asked for asked in planned(seed, ASKED) if not asked.unseen]
    queues = {hops: iter([asked for asked in fit if len(asked.relations) == hops]) for hops in set(HOPS)}
    # A world that has too few of one length gives another of its questions.
    return tuple(next(queues[hops], fit[place]) for place, hops in enumerate(HOPS))


def data(recipe: Recipe = RECIPE) -> dict[str, Any]:
    """What a training reads, for its card."""
    asked = [_choice(number) for number in range(recipe.steps * recipe.batch)]
    return {
        "split": "train",
        "worlds": min(-(-len(asked) // len(HOPS)), len(SPLITS["train"])),
        "questions": len(asked),
        "hops": dict(sorted(Counter(str(len(each.relations)) for each in asked).items())),
        "relations": dict(sorted(Counter(name for each in asked for name in each.relations).items())),
        "pairs": len({pair for each in asked for pair in pairwise(each.relations)}),
        "wordings": list(SEEN_WORDINGS),
        "kept_back": {"pairs": sorted(map(list, UNSEEN_PAIRS)), "wordings": list(UNSEEN_WORDINGS)},
    }


def questions_of(split: str, pairs: str = "any", wordings: Sequence[int] = SEEN_WORDINGS) -> Iterator[Planned]:
    """Questions of a split's worlds, `PER_WORLD` each; `pairs`: with a pair of relations kept back, without, or any."""
    check_choice("pairs", pairs, ("seen", "unseen", "any"))
    for seed in SPLITS[split]:
        asked = planned(seed, PER_WORLD * (8 if pairs == "unseen" else 2), wordings)
        yield from islice((q for q in asked if pairs == "any" or q.unseen == (pairs == "unseen")), PER_WORLD)


def evaluate_planner(
    model: HFModel,
    split: str = "dev",
    questions: int = 200,
    pairs: str = "seen",
    wordings: Sequence[int] = SEEN_WORDINGS,
    say: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """Greedy plans for so many questions of a split, compared with the right ones word for word.

    Returns "questions", "exact" (share), "interval" (Wilson, 95 %), "errors" by kind and "by_hops" (exact, asked).
    """
    check_count("questions", questions, least=1)
    asked = list(islice(questions_of(split, pairs, wordings), questions))
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
