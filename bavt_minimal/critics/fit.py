"""Fit the frozen model's critics: the head, the mix, and the calibration of an adapter.

Train worlds are for fitting; dev worlds choose the layers and calibrate. The test split is never touched.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import nn
from tqdm.auto import tqdm

from ..budget import Ledger
from ..checks import check_choice
from ..models.adapters import read_card
from ..models.hf import HFModel
from ..models.weights import WeightsError
from ..steps import Step
from ..training.labels import LabeledStep
from .adapter import AdapterCritic
from .calibration import Calibration, Isotonic, Platt, auc, brier, ece, logit
from .data import FIT_ON, draw_steps
from .head import WEIGHTS, CriticHead, ResidualValuePredictor, find_head
from .mix import VIEWS, Judge, LogProb, MixCritic, fit_mix

CHOICES = ((18,), (20,), (22,), (24,))  # layers to choose among
MIX, FEATURES = "mix.json", "features.safetensors"
SHOWN = {"train": 2000, "dev": 800}  # steps whose states are kept for whoever wants to fit a head in seconds
Say = Callable[[str], object]


def fit_head(
    model: HFModel,
    out: Path,
    steps: int = 8000,
    seed: int = 0,
    say: Say = print,
    choices: Sequence[Sequence[int]] = CHOICES,
    dev_steps: int = 1600,
) -> dict[str, Any]:
    """Fit a head and a mix to `steps` of the model's own steps, and write both to `out`. Returns the card.

    The layers are those of `choices` with the best AUC on dev; the head's log-odds are calibrated there (Platt), and
    so is its mix with the log-probabilities. `bavt critics` judges them on other worlds.
    """
    layers = sorted({layer for choice in choices for layer in choice})
    began = time.monotonic()
    train = _collect(model, "train", steps, layers, say)
    dev = _collect(model, "dev", dev_steps, layers, say)
    best, figures = CriticHead(model, layers=choices[0]), {}
    for choice in choices:
        head = CriticHead(model, layers=choice)
        head.fit(head.states(_steps(train), Ledger()), [labeled.target for labeled in train], seed)
        figures["+".join(map(str, choice))] = found = _auc(head, dev)
        say(f"layers {choice}: AUC {found:.3f} on {len(dev)} dev steps")
        if found >= max(figures.values()):
            best = head
    mixed = np.random.default_rng(seed).permutation([labeled.target for labeled in train])
    control = CriticHead(model, layers=best.layers)
    control.fit(best.states(_steps(train), Ledger()), mixed, seed)
    before = ece(best.probabilities(_steps(dev), Ledger()), _right(dev))
    calibrate(best.predictor, Platt.fit(logit(best.probabilities(_steps(dev), Ledger())), _right(dev)))
    parts: dict[str, Judge] = {"head": best, **{view: LogProb(view) for view in VIEWS}}
    chances = {name: part.probabilities(_steps(dev), Ledger()) for name, part in parts.items()}
    weights, intercept = fit_mix(chances, _right(dev))
    mix = MixCritic(parts, weights, intercept, best.scale)
    card = best.save(
        out,
        data={"train": _facts(train), "dev": _facts(dev)},
        seed=seed,
        dev={
            "auc by layers": {name: round(value, 4) for name, value in figures.items()},
            "ece before calibration": round(before, 4),
            "auc of the mix": round(_auc(mix, dev), 4),
            "auc with shuffled labels": round(_auc(control, dev), 4),
        },
        seconds=round(time.monotonic() - began, 1),
        command=f"bavt train head --steps {steps} --seed {seed}",
    )
    (out / MIX).write_text(json.dumps({"head": card["sha256"], **mix.to_json()}, indent=1) + "\n", encoding="utf-8")
    keep_features(best, train, dev, out)
    say(f"head of layers {best.layers} and its mix are in {out}")
    return card


def keep_features(head: CriticHead, train: Sequence[LabeledStep], dev: Sequence[LabeledStep], out: Path) -> None:
    """Write the states that `head` reads, and the targets, of the first SHOWN steps to `features.safetensors`."""
    kept = {}
    for split, drawn in (("train", train[: SHOWN["train"]]), ("dev", dev[: SHOWN["dev"]])):
        kept[f"{split}.states"] = head.states(_steps(drawn), Ledger()).astype(np.float16)
        kept[f"{split}.targets"] = np.array([labeled.target for labeled in drawn], np.float32)
    save_file(kept, out / FEATURES)


def load_features(source: str | os.PathLike[str] = "head") -> dict[str, NDArray[Any]]:
    """The shipped features: "train.states" (N, H) float16, "train.targets" (N,) in [-1, 1], and the same of "dev".

    `CriticHead.fit` learns from the first two in seconds. Raises FileNotFoundError for a folder without them.
    """
    path = find_head(source) / FEATURES
    if not path.is_file():
        raise FileNotFoundError(f"no {FEATURES} in {path.parent}; `bavt train head` writes one")
    return load_file(path)


def calibrate(predictor: ResidualValuePredictor, platt: Platt) -> None:
    """Take slope and intercept into the last layer, so that there is nothing to carry along."""
    last = cast(nn.Linear, predictor.layers[-1])
    with torch.no_grad():
        last.weight *= platt.slope
        last.bias.mul_(platt.slope).add_(platt.intercept)


def load_mix(model: HFModel, source: str | os.PathLike[str] = "head") -> MixCritic:
    """The mix that was fitted with a head: the shipped one ("head"), or a folder's.

    Raises FileNotFoundError, `WeightsError` for damaged files or the mix of another head, ValueError for another model.
    """
    head, folder = CriticHead.load(model, source), find_head(source)
    try:
        facts = json.loads((folder / MIX).read_text(encoding="utf-8"))
        of, weights = facts.pop("head"), facts["weights"]
        parts = {name: head if name == "head" else LogProb(name) for name in weights}
        mix = MixCritic(parts, **facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / MIX} is damaged ({error}): fit the head again") from error
    if of != read_card(folder, model.name, WEIGHTS)["sha256"]:
        raise WeightsError(f"{folder / MIX} was fitted with another head: fit the head again")
    return mix


def fit_calibration(
    model: HFModel, folder: Path, steps: int = 1600, kind: str = "platt", say: Say = print
) -> dict[str, float]:
    """Calibrate the adapter in `folder` on dev. Returns ECE and Brier before and after, and whether it is "kept".

    `kind`: "platt", or "isotonic", which needs more steps and ranks no better. It is written to `calibration.json`
    beside the adapter only if it lowers the Brier score even on the steps that it was fitted to: a critic that is
    nearly always right is better left alone. `bavt critics` has the figures on other steps.
    """
    check_choice("kind", kind, ("platt", "isotonic"))
    dev = _collect(model, "dev", steps, (), say)
    critic = AdapterCritic(model.with_adapter(folder))
    scores, y = judge_scores(critic, dev), _right(dev)
    calibration: Calibration = Platt.fit(scores, y) if kind == "platt" else Isotonic.fit(scores, y)
    raw, mended = np.exp(np.minimum(scores, 0)), calibration(scores)
    figures = {"ece before": ece(raw, y), "ece": ece(mended, y)}
    figures |= {"brier before": brier(raw, y), "brier": brier(mended, y)}
    kept = figures["brier"] < figures["brier before"]
    if kept:
        (folder / "calibration.json").write_text(json.dumps(asdict(calibration)) + "\n", encoding="utf-8")
    change = f"ECE {figures['ece before']:.3f} -> {figures['ece']:.3f}"
    say(f"calibrated on {len(dev)} dev steps: {change}, {'kept' if kept else 'no better, not kept'}")
    return {name: round(value, 4) for name, value in figures.items()} | {"kept": kept}


def judge_scores(critic: AdapterCritic, drawn: Sequence[LabeledStep]) -> NDArray[np.float64]:
    """Log-probabilities (N,), the steps of each reading in one call."""
    groups = groupby(drawn, key=lambda labeled: labeled.reading)
    return np.array([score for _, group in groups for score in critic.scores(_steps(group), Ledger())])


def _collect(model: HFModel, split: str, steps: int, layers: Sequence[int], say: Say) -> list[LabeledStep]:
    bar = tqdm(draw_steps(model, split, steps, layers, FIT_ON[split]), total=steps, desc=f"steps of {split}")
    found = list(bar)
    say(f"{len(found)} steps of {split} worlds, {np.mean(_right(found)):.3f} right")
    return found


def _steps(drawn: Iterable[LabeledStep]) -> list[Step]:
    return [labeled.step for labeled in drawn]


def _right(drawn: Sequence[LabeledStep]) -> NDArray[np.float64]:
    return np.array([float(labeled.right) for labeled in drawn])


def _auc(critic: Judge, drawn: Sequence[LabeledStep]) -> float:
    return auc(critic.probabilities(_steps(drawn), Ledger()), _right(drawn))


def _facts(drawn: Sequence[LabeledStep]) -> dict[str, int]:
    seeds = {labeled.reading.seed for labeled in drawn}
    right = int(sum(labeled.right for labeled in drawn))
    return {"steps": len(drawn), "right": right, "first world": min(seeds), "last world": max(seeds)}
