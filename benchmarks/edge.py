"""The map's edge on the real model: V^(1/r) minus other rules, with actors and critics made weaker.

    python benchmarks/edge.py --bank forecast-bank --jobs 2     # after forecast.py: its questions and bank

`map.py` says where the exponent wins and loses in a simulation. Here are the nine pairs of `forecast.py` on the real
model, by the critic's strength and pooled over actors and budgets, as single budgets have too few questions. Holm's
correction is over all lines.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from forecast import ACTORS, CRITICS, Cell, Pair, search
from tqdm.auto import tqdm

from bavt_minimal.benchmark.efficiency import TIERS, questions_of
from bavt_minimal.benchmark.methods import by_ucb, tree
from bavt_minimal.benchmark.run import process_executor
from bavt_minimal.benchmark.scores import holm, intervals, sign_flips
from bavt_minimal.selection import BudgetAware, greedy

PAPER = "V^(1/r)"
RULES = {
    PAPER: tree("own"),
    "alpha = 1": tree("own", selection=BudgetAware(alpha_max=1.0)),
    "greedy": tree("own", selection=greedy),
    "guide's UCB": tree("own", search=by_ucb),
}
POOLED = "all critics"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--skip-worlds", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args()
    names = questions_of("test", args.questions, args.skip_worlds)
    worlds = sorted({name.rpartition("-")[0] for name in names})
    right: dict[Pair, list[dict[Cell, float]]] = {}
    with process_executor(args.jobs) as pool:
        work = partial(search, args.bank, frozenset(names), judged=RULES)
        for part in tqdm(pool.map(work, worlds), desc="test worlds", total=len(worlds)):
            for pair, rows in part.items():
                right.setdefault(pair, []).extend(rows)

    def column(rule: str, critics: tuple[float, ...]) -> np.ndarray:
        """Of each question, the share that was right."""
        cells = [[row[rule, *budget] for row in right[a, c]] for a in ACTORS for c in critics for budget in TIERS]
        return np.mean(cells, axis=0)

    groups = {f"critic {strength:g}": (strength,) for strength in CRITICS} | {POOLED: CRITICS}
    lines = [(title, other) for title in groups for other in RULES if other != PAPER]
    columns = np.stack([column(PAPER, groups[title]) - column(other, groups[title]) for title, other in lines], axis=1)
    found = zip(lines, intervals(columns), holm(list(sign_flips(columns))), strict=True)
    print(f"{len(names)} questions, {len(ACTORS)} actors, {len(TIERS)} budgets; {PAPER} minus")
    for (title, other), interval, p in found:
        own = column(PAPER, groups[title]).mean()
        print(f"{title:<12} ({PAPER} {own:.3f})  {other:<12} {interval.text(True) if interval else '-':<24} p {p:.4f}")


if __name__ == "__main__":
    main()
