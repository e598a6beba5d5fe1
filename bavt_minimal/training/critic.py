"""The critic's adapter: it learns to read, and judges a step by how likely it finds it.

The label of a train page's question is its gold answer. The adapter sees pages and questions without worked examples,
which makes its prompts a fifth as long as the generator's.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from ..checks import check_count
from ..critics.adapter import AdapterCritic
from ..critics.calibration import auc
from ..critics.data import draw_steps
from ..critics.fit import judge_scores
from ..models.hf import HFModel
from ..tasks.encyclopedia import EXTRA_ASKS, SPLITS, Reading
from .drills import drilled
from .labels import SEEN_RELATIONS, SEEN_WORDINGS, UNSEEN_RELATIONS, UNSEEN_WORDINGS, pages
from .lora import Example, Recipe

RECIPE = Recipe(steps=130)
# Facts that no question of a world asks about are taught too: else the adapter learns that some sentences never matter.
TAUGHT = (*SEEN_RELATIONS, *EXTRA_ASKS)
PER_WORLD = 16  # pages of a train world: many worlds, so that no name is learned by heart


def example(number: int) -> Example:
    """Page `number` of the train worlds with its questions, to learn their answers. It depends on `number` only."""
    asked = _asked(number)
    pieces = [(f"Page: {asked[0].page}\n", False)]
    for reading in asked:
        pieces += [(f"Question: {reading.question}\nAnswer:", False), (f" {reading.answer}\n", True)]
    return pieces


def data(recipe: Recipe = RECIPE) -> dict[str, Any]:
    """What a training reads, for its card."""
    asked = [_asked(number) for number in range(recipe.steps * recipe.batch)]
    relations = Counter(reading.relation for page in asked for reading in page)
    return {
        "split": "train",
        "worlds": len({page[0].seed for page in asked}),
        "pages": len(asked),
        "questions": relations.total(),
        "relations": dict(sorted(relations.items())),
        "wordings": list(SEEN_WORDINGS),
        "taught_only": list(EXTRA_ASKS),
        "kept_back": {"relations": list(UNSEEN_RELATIONS), "wordings": list(UNSEEN_WORDINGS)},
    }


def _asked(number: int) -> list[Reading]:
    """The questions of a page; every other page has drills too."""
    world, place = divmod(number, PER_WORLD)
    asked = _pages(world % len(SPLITS["train"]))[place]  # after the last world the first again
    if number % 2:
        drills = drilled(random.Random(number), asked[0])
        asked = [*(reading._replace(page=drills[0].page) for reading in asked), *drills]
    # A critic is asked one question a page: each has to come first now and then.
    return sorted(asked, key=lambda reading: hashlib.sha256(f"{number} {reading.question}".encode()).digest())


@lru_cache(maxsize=64)
def _pages(world: int) -> list[list[Reading]]:
    return list(islice(pages("train", world, SEEN_WORDINGS, TAUGHT), PER_WORLD))


def evaluate_critic(base: HFModel, critic: HFModel, split: str = "dev", steps: int = 400) -> dict[str, Any]:
    """AUC of the adapter's likelihood, and of the base model's own, on its own steps in the first worlds of a split.

    A quick look; `bavt critics` measures in earnest. An AUC is None if all steps are right, or all are wrong.
    """
    labeled = list(islice(draw_steps(base, split, check_count("steps", steps, least=1)), steps))
    right = np.array([float(each.right) for each in labeled])
    likely = judge_scores(AdapterCritic(critic), labeled)
    own = np.array([sum(each.step.sample.logprobs) for each in labeled])
    both = 0 < right.sum() < len(right)
    return {
        "steps": len(right),
        "right": round(float(right.mean()), 4),
        "auc": round(auc(likely, right), 4) if both else None,
        "auc_logprob": round(auc(own, right), 4) if both else None,
    }
