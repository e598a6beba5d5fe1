"""`bavt train`: an adapter or a head from ground-truth labels. Its last line says where it is and what it is worth."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..critics.fit import fit_calibration, fit_head
from ..models import is_url, load_model
from ..models.adapters import CARD, read_card
from ..models.hf import HFModel
from ..training import critic, planner
from ..training.lora import Recipe, refuse_finished, train_adapter, write_card
from ..views.fold import plain
from .main import UsageError, UserError

JOBS = {"critic": critic, "planner": planner}
LEARNED = 2  # steps, at least: one to warm up
say: Callable[..., None] = partial(print, flush=True)


def run(args: argparse.Namespace) -> int:
    """Train, evaluate on dev, keep the figures in the card. What is finished already is only reported."""
    if args.steps is not None and args.steps < LEARNED:
        raise UsageError(f"--steps must be at least {LEARNED}, got {args.steps}")
    if is_url(args.model):
        raise UsageError(f"--model {args.model}: training needs a model's weights; give a folder or a hub id")
    if args.threads is not None:
        if not 1 <= args.threads <= 4 * (os.cpu_count() or 1):
            raise UsageError(f"--threads must be 1 .. {4 * (os.cpu_count() or 1)}, got {args.threads}")
        torch.set_num_threads(args.threads)
    out = Path(args.out or Path("trained") / args.role).expanduser()
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {plain(out, 500)}: that is a file; name a folder")
    if args.role == "head":
        refuse_finished(out)
        card = fit_head(load_model(args.model), out, seed=args.seed, say=say, **_given(steps=args.steps))
        say(f"head in {plain(out, 500)}: AUC {card['dev']['auc of the mix']:.3f} on dev, mixed with log-probabilities")
        return 0
    job = JOBS[args.role]
    recipe = replace(job.RECIPE, seed=args.seed, **_given(steps=args.steps))
    found = _found(out, args.role, recipe)
    if not found:
        refuse_finished(out)
    model = load_model(args.model)
    if found:
        read_card(out, model.name)
        view = model.with_adapter(out)
    else:
        facts = {"data": job.data(recipe), "command": command(args.role, recipe)}
        view = train_adapter(model, args.role, job.example, recipe, out, facts=facts, say=say)
        found = read_card(out, model.name)
    if "figures" not in found:  # a run may have been cut off between training and evaluation
        say("evaluating on dev worlds ...")
        found["figures"] = evaluate(args.role, model, view, out)
        write_card(out, found)
    say(f"{args.role} adapter in {plain(out, 500)}: {summary(args.role, found['figures'])}")
    return 0


def command(role: str, recipe: Recipe) -> str:
    """The command that makes the same adapter again."""
    return f"bavt train {role} --steps {recipe.steps} --seed {recipe.seed}"


def evaluate(role: str, model: HFModel, view: HFModel, out: Path) -> dict[str, Any]:
    """A quick look on dev worlds: the AUC of the critic's likelihood, and its calibration; or exact plans."""
    if role == "planner":
        return planner.evaluate_planner(view, "dev", 100, say=say)
    figures = critic.evaluate_critic(model, view)
    if figures["auc"] is None:
        say("not calibrated: all steps are right, or all are wrong")
        return figures
    return figures | {"calibration": fit_calibration(model, out, say=say)}


def summary(role: str, figures: dict[str, Any]) -> str:
    """The figures on one line."""
    if role == "planner":
        low, high = figures["interval"]
        return f"{figures['exact']:.3f} [{low:.3f}, {high:.3f}] of {figures['questions']} dev plans exact"
    if figures["auc"] is None:
        return f"AUC unknown, {figures['right']:.3f} of {figures['steps']} dev steps are right"
    return f"AUC {figures['auc']:.3f} on {figures['steps']} dev steps (log-probability {figures['auc_logprob']:.3f})"


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _found(out: Path, role: str, recipe: Recipe) -> dict[str, Any]:
    """The card of a finished adapter of the same recipe; empty if there is none, or one of another."""
    try:
        card = dict(json.loads((out / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
    return card if card.get("role") == role and card.get("recipe") == asdict(recipe) else {}
