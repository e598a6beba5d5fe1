"""A ReAct-style step, by an adapter, against a plan: after each answer the model says what to ask next, or "done".

    python benchmarks/react.py --split dev --questions 100

Trains the adapter on the planner's questions, one turn of each (a folder that has one already is used), then asks it
and the shipped planner the same questions. A question is exact if every turn is, word for word; the answers so far are
given, so that only the asking is measured. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import random
from itertools import islice
from pathlib import Path

import numpy as np
from planner import CASES

from bavt_minimal.models import load_model
from bavt_minimal.models.adapters import CARD
from bavt_minimal.planner import format_plan
from bavt_minimal.tasks.encyclopedia import RELATIONS, SPLITS
from bavt_minimal.training.labels import names_of, wilson
from bavt_minimal.training.lora import Example, Recipe, greedy, train_adapter
from bavt_minimal.training.planner import HOPS, Planned, choice, prompt, questions_of


def turns(asked: Planned, answers: list[str]) -> list[tuple[str, str]]:
    """What the model reads and what it is to say: before each answer the next question, after the last one "done"."""
    known, found = "", []
    for hop, step in enumerate(asked.plan):
        said = step.replace(f"#{hop}", answers[hop - 1])  # the first has no reference
        found.append((f"Question: {asked.text}\n{known}Next:", f" {said}\n"))
        known += f"{said} {answers[hop]}\n"
    return [*found, (f"Question: {asked.text}\n{known}Next:", " done\n")]


def answers_for(asked: Planned, seed: int) -> list[str]:
    """Names of the right kinds; what is asked does not depend on which."""
    kinds, rng = names_of(seed)[1], random.Random(f"{seed} {asked.text}")
    return [rng.choice(sorted(kinds[RELATIONS[name].value])) for name in asked.relations]


def example(number: int) -> Example:
    """One turn of the planner's training question `number`."""
    asked = choice(number)
    seed = SPLITS["train"][number // (2 * len(HOPS)) % len(SPLITS["train"])]
    said = turns(asked, answers_for(asked, seed))
    text, target = said[random.Random(number).randrange(len(said))]
    return [(text, False), (target, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=tuple(SPLITS))
    parser.add_argument("--questions", type=int, default=100, help="of each kind")
    parser.add_argument("--steps", type=int, default=200, help="of training, 16 turns each")
    parser.add_argument("--out", type=Path, default=Path("trained/react"))
    args = parser.parse_args()
    base = load_model()
    if not (args.out / CARD).is_file():
        train_adapter(base, "react", example, Recipe(steps=args.steps, batch=16), args.out)
    react, planner = base.with_adapter(args.out), base.with_adapter("planner")
    for name, (pairs, wordings) in CASES.items():
        asked = list(islice(questions_of(args.split, pairs, wordings), args.questions))
        said = [turns(each, answers_for(each, SPLITS[args.split][0])) for each in asked]
        flat = [turn for each in said for turn in each]
        right = iter(greedy(react, *zip(*flat, strict=True)))
        exact = {"ReAct": [all([next(right) for _ in each]) for each in said]}
        plans = [format_plan(each.plan) for each in asked]
        exact["plan"] = greedy(planner, [prompt(each.text, i) for i, each in enumerate(asked)], plans)
        tokens = {
            "ReAct": np.mean([sum(base.count_tokens(text) for _, text in each) for each in said]),
            "plan": np.mean([base.count_tokens(plan) for plan in plans]),
        }
        for way, found in exact.items():
            low, high = wilson(sum(found), len(found))
            print(
                f"{name}, {way}: {np.mean(found):.3f} [{low:.3f}, {high:.3f}] of {len(found)} {args.split} questions"
                f" exact, {tokens[way]:.0f} tokens to ask",
                flush=True,
            )


if __name__ == "__main__":
    main()
