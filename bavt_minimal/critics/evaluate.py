"""Judge the critics: on the frozen model's own steps, in worlds that none of them was fitted on.

A step counts as often as the model drew it. Intervals resample worlds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..budget import Ledger
from ..models.adapters import find_adapter
from ..models.hf import HFModel
from ..steps import Step
from ..training.labels import LabeledStep
from .adapter import AdapterCritic, load_adapter_critic
from .calibration import Interval, auc, auc_interval, brier, ece
from .fit import load_features, load_mix
from .head import CriticHead
from .mix import Judge, LogProb
from .prompted import FORMS, FormCritic

PROMPTED_SHARE = 4  # the prompted forms are slow and weak: they judge every step of one reading in four
CONTROLS = ("no page", "shuffled labels")  # neither can know what is right


class Cost(NamedTuple):
    """What judging one step costs."""

    generated: float  # tokens
    prompt: float  # tokens
    milliseconds: float


@dataclass(frozen=True)
class WithoutPage:
    """A control: what `critic` says when it does not see the page."""

    critic: Judge

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """The critic's, each step's page left out."""
        return self.critic.probabilities([replace(step, page="") for step in steps], ledger)


@dataclass(frozen=True)
class Row:
    """A critic's figures. `note` says why there are none."""

    name: str
    note: str = ""
    steps: int = 0
    auc: Interval | None = None
    unseen: Interval | None = None  # unseen relations in unseen wording
    ece: float | None = None
    brier: float | None = None
    cost: Cost | None = None
    by_relation: dict[str, float] | None = None  # AUC; NaN where all steps are right, or all wrong

    def to_json(self) -> dict[str, Any]:
        """As plain objects."""
        parts = {key: part._asdict() for key in ("auc", "unseen", "cost") if (part := getattr(self, key)) is not None}
        return {**vars(self), **parts}


def critics(model: HFModel) -> dict[str, Callable[[], Judge]]:
    """Every critic by name, made on demand: FileNotFoundError if it was not trained, ValueError if not for `model`."""

    def adapter() -> Judge:
        return load_adapter_critic(find_adapter("critic"), model.with_adapter("critic"))

    made: dict[str, Callable[[], Judge]] = {
        "logprob": lambda: LogProb("mean"),
        "logprob-sum": lambda: LogProb("sum"),
        "head": lambda: CriticHead.load(model),
        "mix": lambda: load_mix(model),
        "adapter": adapter,
        "no page": lambda: WithoutPage(AdapterCritic(model)),
        "shuffled labels": lambda: shuffled_head(model),
    }
    return made | {f"prompted-{form}": lambda form=form: FormCritic(model, form) for form in FORMS}


def shuffled_head(model: HFModel, seed: int = 0) -> CriticHead:
    """A control: the shipped head fitted anew to its states, with the labels of other steps."""
    features, head = load_features(), CriticHead.load(model)
    head.fit(features["train.states"], np.random.default_rng(seed).permutation(features["train.targets"]), seed)
    return head


def judge(critic: Judge, drawn: Sequence[LabeledStep]) -> tuple[NDArray[np.float64], Cost]:
    """Probabilities (N,) of steps that come reading by reading, and the mean cost of a step.

    Candidates of one reading are judged in one call, and equal ones once, as in the search.
    """
    ledger, found, judged, seconds = Ledger(), [], 0, 0.0
    for _, group in groupby(drawn, key=lambda labeled: labeled.reading):
        steps = [labeled.step for labeled in group]
        first = {(step.text, step.sample.finished): step for step in reversed(steps)}
        clock = time.perf_counter()
        chances = critic.probabilities(list(first.values()), ledger)
        seconds += time.perf_counter() - clock
        judged += len(first)
        said = dict(zip(first, chances, strict=True))
        found += [said[step.text, step.sample.finished] for step in steps]
    tokens: Mapping[str, int] = ledger.by_role().get("critic", {})
    each = 1 / max(judged, 1)
    cost = Cost(tokens.get("tokens", 0) * each, tokens.get("prompt_tokens", 0) * each, 1000 * seconds * each)
    return np.asarray(found, dtype=float), cost


def labels(drawn: Sequence[LabeledStep]) -> NDArray[np.float64]:
    """1.0 for right, 0.0 for wrong."""
    return np.array([float(labeled.right) for labeled in drawn])


def worlds(drawn: Sequence[LabeledStep]) -> list[int]:
    """The world of each step."""
    return [labeled.reading.seed for labeled in drawn]


def evaluate(name: str, critic: Judge, seen: Sequence[LabeledStep], unseen: Sequence[LabeledStep] = ()) -> Row:
    """The figures of one critic."""
    p, cost = judge(critic, seen)
    y, places = labels(seen), np.array([labeled.reading.relation for labeled in seen])
    return Row(
        name,
        steps=len(seen),
        auc=auc_interval(p, y, worlds(seen)),
        unseen=auc_interval(judge(critic, unseen)[0], labels(unseen), worlds(unseen)) if unseen else None,
        ece=ece(p, y),
        brier=brier(p, y),
        cost=cost,
        by_relation={relation: auc(p[places == relation], y[places == relation]) for relation in sorted(set(places))},
    )


def evaluate_all(
    model: HFModel, names: Sequence[str], seen: Sequence[LabeledStep], unseen: Sequence[LabeledStep] = ()
) -> Iterator[Row]:
    """A row for each critic of `names`, as it is ready."""
    made = critics(model)
    for name in names:
        try:
            critic = made[name]()
        except FileNotFoundError:
            yield Row(name, note="not trained")
            continue
        except ValueError as error:
            yield Row(name, note=f"not for this model: {error}")
            continue
        every = PROMPTED_SHARE if name.startswith("prompted") else 1
        yield evaluate(name, critic, some(seen, every), some(unseen, every))


def some(drawn: Sequence[LabeledStep], every: int) -> list[LabeledStep]:
    """The steps of one reading in `every`, spread over the worlds."""
    groups = groupby(drawn, key=lambda labeled: labeled.reading)
    return [labeled for i, (_, group) in enumerate(groups) if i % every == 0 for labeled in group]


def wanted_layers(model: HFModel, names: Sequence[str]) -> tuple[int, ...]:
    """The hidden states to take while drawing, for the critics of `names` that are there."""
    layers: set[int] = set()
    for name in {"head", "mix", "shuffled labels"} & set(names):
        try:
            layers |= set(getattr(critics(model)[name](), "layers", ()))
        except (FileNotFoundError, ValueError):
            continue
    return tuple(sorted(layers))


def best(rows: Sequence[Row]) -> Row | None:
    """The critic of the highest AUC; controls and the untrained do not count."""
    judged = [row for row in rows if row.auc is not None and row.name not in CONTROLS and not np.isnan(row.auc.value)]
    return max(judged, key=lambda row: row.auc.value if row.auc else 0.0, default=None)
