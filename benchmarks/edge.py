"""The map's edge on the real model: V^(1/r) minus other rules of selection, with critics from weak to strong.

    python benchmarks/edge.py --bank forecast-bank --pairs         # after forecast.py: its test questions and bank
    python benchmarks/edge.py --bank copy-of-the-published-bank    # the published questions, and critics as shipped

`map.py` says where the exponent wins and loses in a simulation. The first has the nine pairs of `forecast.py`, by the
critic's strength and pooled over actors; the second asks again, on other questions, with the shipped critics. Both are
pooled over the budgets, one seed; Holm's correction is over all lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from forecast import ACTORS, CRITICS, Cell, Pair, search
from tqdm.auto import tqdm

from bavt_minimal.benchmark.efficiency import TIERS, Bench, benchmark_budget_efficiency, questions_of
from bavt_minimal.benchmark.methods import METHODS, Method, by_ucb, tree
from bavt_minimal.benchmark.recorded import SKIPPED
from bavt_minimal.benchmark.run import process_executor, progress_bar
from bavt_minimal.benchmark.scores import holm, intervals, sign_flips
from bavt_minimal.selection import BudgetAware, greedy

PAPER, ALL = "V^(1/r)", "all critics"
SHIPPED = ("logprob", "head", "mix", "adapter")
Right = dict[tuple[str, str], np.ndarray]  # critic, rule -> (questions,), mean of the rest


def rules(critic: str) -> dict[str, Method]:
    """The same search with each rule."""
    return {
        PAPER: tree(critic),
        "alpha = 1": tree(critic, selection=BudgetAware(alpha_max=1.0)),
        "greedy": tree(critic, selection=greedy),
        "guide's UCB": tree(critic, search=by_ucb),
    }


def pairs(bank: Path, names: Sequence[str], jobs: int) -> Right:
    """Critics of three strengths, pooled over three actors."""
    worlds = sorted({name.rpartition("-")[0] for name in names})
    found: dict[Pair, list[dict[Cell, float]]] = {}
    with process_executor(jobs) as pool:
        work = partial(search, bank, frozenset(names), judged=rules("own"))
        for part in tqdm(pool.map(work, worlds), desc="test worlds", total=len(worlds)):
            for pair, rows in part.items():
                found.setdefault(pair, []).extend(rows)
    return {
        (f"critic {strength:g}", rule): np.mean(
            [[row[rule, *budget] for row in found[actor, strength]] for actor in ACTORS for budget in TIERS], axis=0
        )
        for strength in CRITICS
        for rule in rules("own")
    }


def published(bank: Path, names: Sequence[str], jobs: int) -> Right:
    """The shipped critics, and the base model as actor."""
    methods = {f"{critic}: {rule}": method for critic in SHIPPED for rule, method in rules(critic).items()}
    bench = Bench(bank=bank, methods=METHODS | methods)
    with progress_bar() as progress:
        rows = benchmark_budget_efficiency(
            bench, dict.fromkeys(methods, TIERS), names, 1, None, partial(process_executor, jobs), progress
        )
    right: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        own = right.setdefault(tuple(row["method"].split(": ")), dict.fromkeys(names, 0.0))
        own[row["question"]] += row["right"] / len(TIERS)
    return {key: np.array(list(own.values())) for key, own in right.items()}


def show(right: Right) -> None:
    """V^(1/r) minus each other rule, for each critic and for all."""
    critics = list(dict.fromkeys(critic for critic, _ in right))
    names = list(dict.fromkeys(rule for _, rule in right))
    right |= {(ALL, rule): np.mean([right[critic, rule] for critic in critics], axis=0) for rule in names}
    lines = [(critic, rule) for critic in (*critics, ALL) for rule in names if rule != PAPER]
    columns = np.stack([right[critic, PAPER] - right[critic, rule] for critic, rule in lines], axis=1)
    print(f"{len(columns)} questions, {len(TIERS)} budgets; {PAPER} minus")
    for (critic, rule), found, p in zip(lines, intervals(columns), holm(list(sign_flips(columns))), strict=True):
        said = found.text(signed=True) if found else "-"
        print(f"{critic:<12} ({PAPER} {right[critic, PAPER].mean():.3f})  {rule:<12} {said:<24} p {p:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--questions", type=int, help="default: 60 with --pairs, else 300")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args()
    run, count, skipped = (pairs, 60, 300) if args.pairs else (published, 300, SKIPPED)
    show(run(args.bank, questions_of("test", args.questions or count, skipped), args.jobs))


if __name__ == "__main__":
    main()
