"""Which step is right: questions that a page answers, the model's own steps on them, and their labels.

The worlds of a split share no name with another split's. The second split is by relation and wording: training asks
only SEEN_RELATIONS in SEEN_WORDINGS, the test of generalization asks the others in the wording kept back.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, groupby, product
from typing import Any

from ..steps import EXAMPLES, LanguageModel, Sample, Step, clean, normalize
from ..tasks.encyclopedia import EXTRA_ASKS, KINDS, RELATIONS, SPLITS, SYMMETRIC, Reading, make_world, readings

UNSEEN_RELATIONS = ("teacher", "rival", "peak", "camp")
SEEN_RELATIONS = tuple(name for name in RELATIONS if name not in UNSEEN_RELATIONS)
SEEN_WORDINGS, UNSEEN_WORDINGS = (0, 1, 2), (3,)


def _unseen_pairs(share: float = 0.15) -> frozenset[tuple[str, str]]:
    pairs = [(a, b) for a, b in product(RELATIONS, repeat=2) if RELATIONS[a].value == RELATIONS[b].subject]
    # The spouse of the spouse of X is X, which no question asks for.
    pairs = [pair for pair in pairs if pair[0] != pair[1] or pair[0] not in SYMMETRIC]
    kept: list[tuple[str, str]] = []
    for pair in sorted(pairs, key=lambda pair: hashlib.sha256(" ".join(pair).encode()).digest()):
        others = [other for other in pairs if other not in kept and other != pair]
        # At most one for each relation in each place, and never the only one.
        fresh = all(pair[i] not in {other[i] for other in kept} for i in (0, 1))
        if fresh and all(any(other[i] == pair[i] for other in others) for i in (0, 1)):
            kept.append(pair)
    return frozenset(kept[: round(share * len(pairs))])


# The planner never trains on a question in which the second relation follows the first. Chosen by hash, and so that
# training has each relation in every place that it can take.
UNSEEN_PAIRS = _unseen_pairs()


def pages(
    split: str, first: int = 0, wordings: Sequence[int] = SEEN_WORDINGS, relations: Sequence[str] = SEEN_RELATIONS
) -> Iterator[list[Reading]]:
    """The questions of one page after the other, from world `first` of a split on; pages without any are left out."""
    for seed in SPLITS[split][first:]:
        for _, group in groupby(readings(seed, wordings, relations), key=lambda reading: reading.page):
            yield list(group)


# How the answer of a step that no model drew was made up. A repeat is true, and known already.
MADE_UP = ("gold", "other value", "self", "other entity", "repeat")


@dataclass(frozen=True)
class LabeledStep:
    """A step and whether it is right."""

    step: Step
    reading: Reading
    right: bool
    source: str = "policy"  # the model's own sample, or one of MADE_UP

    @property
    def target(self) -> float:
        """The residual to learn: +1 progress, -1 an error, 0 true but nothing new."""
        return 0.0 if self.source == "repeat" else 1.0 if self.right else -1.0


def own_steps(
    model: LanguageModel, asked: Iterable[Reading], k: int = 8, layers: Sequence[int] = (), seed: int = 0
) -> Iterator[LabeledStep]:
    """`k` samples of the frozen model for each reading, as the search draws them, labelled by the gold answer."""
    for reading in asked:
        prompt = f"{EXAMPLES}Page: {reading.page}\nQuestion: {reading.question}\nAnswer:"
        for sample in model.sample(prompt, k, seed=seed, layers=layers):
            step = Step(reading.question, "", reading.page, prompt, replace(sample, text=clean(sample.text, 200)), True)
            yield LabeledStep(step, reading, normalize(step.text) == normalize(reading.answer))


def made_up_steps(asked: Iterable[Reading], sources: Sequence[str] = MADE_UP) -> Iterator[LabeledStep]:
    """Steps that no model drew, up to one of each source for each reading: the right answer, and likely mistakes.

    "other value" is another title that the page names, "self" the page's own title, "other entity" a title of the right
    kind that the page does not name. Their samples have no tokens and no log-probabilities. Raises ValueError for an
    unknown source.
    """
    if unknown := sorted(set(sources) - set(MADE_UP)):
        raise ValueError(f"sources has {unknown[0]!r}; they are {', '.join(MADE_UP)}")
    for reading in asked:
        names, kinds = names_of(reading.seed)
        title, told = title_of(reading), sorted(set(names.findall(reading.page)))
        choices = {
            "gold": [reading.answer],
            "other value": [name for name in told if name not in (title, reading.answer)],
            "self": [title],
            "other entity": sorted(kinds[KINDS[reading.relation][1]] - {*told, reading.answer}),
            "repeat": [reading.answer],
        }
        prompt = f"{EXAMPLES}Page: {reading.page}\nQuestion: {reading.question}\nAnswer:"
        for source in sources:
            if not choices[source]:
                continue
            draw = hashlib.sha256(f"{source} {reading.question}".encode()).digest()
            text = choices[source][int.from_bytes(draw[:4]) % len(choices[source])]
            known = (reading.answer,) if source == "repeat" else ()
            step = Step(reading.question, title, reading.page, prompt, Sample(text, 0, (), True), True, known)
            yield LabeledStep(step, reading, text == reading.answer, source)


def title_of(reading: Reading) -> str:
    """The title of the page that a reading is about: the only one that its question names."""
    names = names_of(reading.seed)[0].findall(reading.question)
    if len(names) != 1:
        raise ValueError(f"the question {reading.question!r} names {len(names)} titles of world {reading.seed}")
    return str(names[0])


@lru_cache(maxsize=64)
def names_of(seed: int) -> tuple[re.Pattern[str], dict[str, set[str]]]:
    """A pattern that finds every title of a world, and the titles of each kind that a page leads to."""
    kinds: dict[str, set[str]] = {}
    for reading in readings(seed, relations=(*RELATIONS, *EXTRA_ASKS)):
        kinds.setdefault(KINDS[reading.relation][1], set()).add(reading.answer)
    titles = sorted(make_world(seed, 0)[0].pages, key=len, reverse=True)  # the longest one that fits
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, titles))})\b"), kinds


def _wording(reading: Reading) -> int:
    asks = RELATIONS[reading.relation].asks if reading.relation in RELATIONS else EXTRA_ASKS[reading.relation]
    return [ask.format(title_of(reading)) for ask in asks].index(reading.question)


def data_card(split: str, worlds: int = 20, own: Iterable[LabeledStep] = ()) -> dict[str, Any]:
    """Counts of the made-up steps of the first worlds of a split, with `own` steps added if there are any.

    By source, relation, wording (its number; "0" is the first) and label ("progress", "error" or "nothing new").
    """
    asked = chain.from_iterable(readings(seed, SEEN_WORDINGS, SEEN_RELATIONS) for seed in SPLITS[split][:worlds])
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("source", "relation", "wording", "label")}
    seeds, total = set(), 0
    for each in chain(made_up_steps(asked), own):
        reading = each.reading
        counts["source"][each.source] += 1
        counts["relation"][reading.relation] += 1
        counts["wording"][str(_wording(reading))] += 1
        counts["label"][{1.0: "progress", -1.0: "error", 0.0: "nothing new"}[each.target]] += 1
        seeds.add(reading.seed)
        total += 1
    by = {name: dict(sorted(count.items())) for name, count in counts.items()}
    return {"split": split, "worlds": len(seeds), "steps": total, "by": by}


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927), rounded to 4 places."""
    share, weight = right / count, z * z / count
    middle, half = share + weight / 2, z * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return round((middle - half) / (1 + weight), 4), round((middle + half) / (1 + weight), 4)
