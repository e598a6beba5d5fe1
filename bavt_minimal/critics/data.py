"""The frozen model's own steps on worlds of a split, for fitting critics and for judging them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ..checks import check_choice, check_count
from ..steps import LanguageModel
from ..tasks.encyclopedia import SPLITS, Reading, readings, split_of
from ..training.labels import (
    SEEN_RELATIONS,
    SEEN_WORDINGS,
    UNSEEN_RELATIONS,
    UNSEEN_WORDINGS,
    LabeledStep,
    own_steps,
)

PER_WORLD = 12  # readings: steps of one world are alike, so many worlds say more
PER_READING = 8  # samples
FIT_ON = {
    "train": 1000,
    "dev": 500,
}  # the first world; those before are the adapters', and for trying things


def asked(split: str, first: int = 0, unseen: bool = False) -> Iterator[Reading]:
    """Readings from world `first` of a split on: of seen relations and wordings, or of unseen ones only."""
    check_choice("split", split, tuple(SPLITS))
    wordings = UNSEEN_WORDINGS if unseen else SEEN_WORDINGS
    relations = UNSEEN_RELATIONS if unseen else SEEN_RELATIONS
    for seed in SPLITS[split][first:]:
        yield from readings(seed, wordings, relations)[:PER_WORLD]


def draw_steps(
    model: LanguageModel,
    split: str,
    steps: int,
    layers: Sequence[int] = (),
    first: int = 0,
    unseen: bool = False,
    seed: int = 0,
) -> Iterator[LabeledStep]:
    """At least `steps` labelled samples, `PER_READING` for each reading, with hidden states of `layers`."""
    count = -(-check_count("steps", steps, least=1) // PER_READING)
    return own_steps(model, islice(asked(split, first, unseen), count), PER_READING, layers, seed)


def check_apart(drawn: Sequence[LabeledStep], split: str, unseen: bool = False) -> None:
    """Raise AssertionError if a step shares a world, a name or (unseen) a relation with what critics were fitted on."""
    for reading in {labeled.reading for labeled in drawn}:
        assert reading.seed in SPLITS[split] and reading.seed not in SPLITS["train"], f"a train world: {reading.seed}"
        assert split != "dev" or reading.seed < SPLITS["dev"][FIT_ON["dev"]], f"a world of the fit: {reading.seed}"
        assert split_of(reading.answer) == split, f"a name of another split: {reading.answer}"
        assert (reading.relation in UNSEEN_RELATIONS) == unseen, f"relation {reading.relation} is in the wrong set"
