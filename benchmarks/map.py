"""When does budget-awareness pay? V^(1/r) against every other rule and baseline, over a grid of simulated tasks.

    python benchmarks/map.py --searches 300 --out map.json.gz --figure map.svg      # makes the rows
    python benchmarks/map.py --read map.json.gz --each                              # prints them again, every cell

A cell is one task and one budget; its worlds are the same for all methods, so differences are paired. Intervals are
normal ones of the mean paired difference, 95 %: with hundreds of worlds a cell they agree with the bootstrap's, which
takes longer than the search. A cell is a win or a loss if the exact sign test on the worlds in which the two differ
(McNemar) is below .05 after Holm's correction over all cells; else a tie. Pooled intervals are over worlds, each
averaged over all cells first, because the cells share their random numbers. Where the spread is 0 a greedy chain is
right in all worlds or in none: it is a baseline for the other cells only.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from tqdm.auto import tqdm

from bavt_minimal.benchmark.scores import holm
from bavt_minimal.benchmark.simulator import METHODS, PAPER, SCHEDULES, Setting, simulate

# Budgets are in chains: the tokens of that many whole chains, and a tool call for each of their steps.
GRID: dict[str, tuple[Any, ...]] = {
    "depth": (2, 4),
    "p": (0.3, 0.6),
    "spread": (0.0, 0.7),
    "auc": (0.7, 0.9, 0.99),
    "chains": (2, 4, 8, 16),
}
CENTER = {"depth": 4, "p": 0.5, "spread": 0.3, "auc": 0.9}
VARIANTS: dict[str, dict[str, Any]] = {  # one thing at a time, from the center
    "center": {},
    "half of wrong steps lead nowhere": {"dead": 0.5},
    "one wrong text": {"wrong": 1},
    "wrong texts of unequal chance": {"tilt": 0.4},
    "critic overconfident": {"overconfidence": 10.0},
    "critic sees one step only": {"whole_path": False},
    "critic knows nothing": {"auc": 0.5},
    "critic is never wrong": {"auc": 1.0},
    "eta = .2": {"scale": 0.2},
    "depth 6": {"depth": 6},
    "one tool call for three steps": {"calls": 1 / 3},
}
SYMBOL = {"win": "+", "tie": "=", "loss": "-"}
COLOR = {"win": "#0072B2", "tie": "#F2F2F2", "loss": "#E69F00"}  # Okabe-Ito; each with its sign
PANELS = (
    "alpha = 1",
    "alpha = 4",
    "alpha = 50",
    "1/(1 - r)",
    "decay inside",
    "greedy",
    "guide's UCB",
    "vote",
    "rerank",
)
BRIEF = ("alpha = 1", "alpha = 4", "greedy", "1/(1 - r)", "guide's UCB", "vote", "rerank")  # in the table of groups


@dataclass(frozen=True)
class Cell:
    """A task and a budget, and in which worlds each method was right."""

    name: str
    chains: float
    setting: Setting
    right: dict[str, np.ndarray]  # method -> (worlds,) bool
    found: dict[str, float]  # method -> share of worlds with a right answer among those found
    tokens: dict[str, float]  # method -> mean used


def make_setting(chains: float, calls: float = 1.0, **fields: Any) -> Setting:
    """A setting with the budget of so many chains, and `calls` tool calls for each of their steps."""
    task = Setting(**fields)
    steps = chains * task.depth
    tokens, tool_calls = round(steps * task.tokens_per_step), max(2, round(steps * calls))
    return Setting(**{**fields, "tokens": tokens, "tool_calls": tool_calls})


def tasks(parts: str) -> list[tuple[str, float, Setting]]:
    """The cells to run: name, budget in chains, setting."""
    found = []
    if parts != "variants":
        for values in itertools.product(*GRID.values()):
            fields = dict(zip(GRID, values, strict=True))
            chains = fields.pop("chains")
            found.append(("grid", chains, make_setting(chains, **fields)))
    if parts != "grid":
        for name, change in VARIANTS.items():
            found += [(name, chains, make_setting(chains, **{**CENTER, **change})) for chains in GRID["chains"]]
    return found


def run_cell(name: str, chains: float, setting: Setting, searches: int, seed: int) -> Cell:
    """All methods on one cell."""
    rows = simulate(setting, METHODS, searches, seed)
    by = {method: [row for row in rows if row.method == method] for method in METHODS}
    return Cell(
        name,
        chains,
        setting,
        {method: np.array([row.right for row in own]) for method, own in by.items()},
        {method: float(np.mean([row.found for row in own])) for method, own in by.items()},
        {method: float(np.mean([row.tokens for row in own])) for method, own in by.items()},
    )


# Statistics


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean and half the width of its normal 95 % interval, and that of the sign test: mean, half, p."""
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    p = binomtest(better, better + worse).pvalue if better + worse else 1.0
    return float(differences.mean()), 1.96 * float(differences.std(ddof=1)) / math.sqrt(len(differences)), float(p)


def compare(cells: Sequence[Cell], other: str) -> list[tuple[float, float, str, bool]]:
    """V^(1/r) minus `other` in each cell: mean, half width, win / tie / loss, and whether the interval excludes 0."""
    found = [interval(cell.right[PAPER].astype(float) - cell.right[other]) for cell in cells]
    adjusted = holm([p for _, _, p in found])
    return [
        (mean, half, ("win" if mean > 0 else "loss") if p < 0.05 else "tie", abs(mean) > half)
        for (mean, half, _), p in zip(found, adjusted, strict=True)
    ]


def pooled(cells: Sequence[Cell], one: str, other: str, worlds: slice = slice(None)) -> tuple[float, float]:
    """Mean difference over cells, and half the width of its 95 % interval over worlds."""
    each = np.mean([cell.right[one].astype(float) - cell.right[other] for cell in cells], axis=0)[worlds]
    return float(each.mean()), 1.96 * float(each.std(ddof=1)) / math.sqrt(len(each))


# Output


def label(cell: Cell) -> str:
    """A cell in one line."""
    s = cell.setting
    return f"depth {s.depth}, p {s.p:g}, spread {s.spread:g}, AUC {s.auc:g}, {cell.chains:g} chains"


def report(cells: Sequence[Cell], title: str, each: bool) -> None:
    """Every cell if `each`, then the counts."""
    others = [name for name in METHODS if name in cells[0].right and name != PAPER]
    found = {other: compare(cells, other) for other in others}
    print(f"\n{title}: {len(cells)} cells of {len(cells[0].right[PAPER])} worlds")
    if each:
        print_cells(cells, found)
    print("\n" + " " * 24 + "right   found   tokens used, % of the budget (means over cells)")
    for name in (PAPER, *others):
        right, had = np.mean([c.right[name].mean() for c in cells]), np.mean([c.found[name] for c in cells])
        used = np.mean([c.tokens[name] / c.setting.tokens for c in cells])
        print(f"{name:<24}{right:.3f}   {had:.3f}{100 * used:11.0f}")
    print(f"\n{PAPER} against".ljust(24) + "wins  ties losses   interval above 0, below 0   mean difference, points")
    for other in others:
        kinds = [kind for _, _, kind, _ in found[other]]
        above = sum(clear and mean > 0 for mean, _, _, clear in found[other])
        below = sum(clear and mean < 0 for mean, _, _, clear in found[other])
        counts = "".join(f"{kinds.count(kind):6}" for kind in ("win", "tie", "loss"))
        print(f"{other:<22}{counts}{above:15}{below:10}".ljust(70) + span(*pooled(cells, PAPER, other)))


def print_cells(cells: Sequence[Cell], found: dict[str, list[Any]]) -> None:
    """A line for each cell."""
    print(f"{PAPER} right, then {PAPER} minus each, in points, half width of the 95 % interval; + win, - loss, = tie")
    for number, other in enumerate(found, 1):
        print(f"  {number:2} {other}")
    print(" " * 44 + "right" + "".join(f"{number:>11}" for number in range(1, len(found) + 1)))
    for i, cell in enumerate(cells):
        parts = [f"{100 * mean:+.1f}±{100 * half:.1f}{SYMBOL[kind]}" for mean, half, kind, _ in _row(found, i)]
        first = f"{cell.name}, {cell.chains:g} chains" if cell.name != "grid" else label(cell)
        print(f"{first:<44}{cell.right[PAPER].mean():5.3f}" + "".join(f"{part:>11}" for part in parts))


def _row(found: dict[str, list[Any]], i: int) -> list[Any]:
    return [column[i] for column in found.values()]


def groups(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells that have a value in common."""
    found: dict[str, list[Cell]] = {"all cells": list(cells)}
    for name in ("depth", "p", "spread", "auc"):
        for value in GRID[name]:
            found[f"{name} {value:g}"] = [cell for cell in cells if getattr(cell.setting, name) == value]
    for value in GRID["chains"]:
        found[f"{value:g} chains"] = [cell for cell in cells if cell.chains == value]
    return found


def span(mean: float, half: float) -> str:
    """A mean and its interval, in points."""
    return f"{100 * mean:+.2f} [{100 * (mean - half):+.2f}, {100 * (mean + half):+.2f}]"


def by_group(cells: Sequence[Cell]) -> None:
    """Where it pays: pooled differences for each value of the grid."""
    print(f"\n{PAPER} minus, in points".ljust(25) + "".join(f"{other:>24}" for other in BRIEF))
    for title, chosen in groups(cells).items():
        print(title.ljust(24) + "".join(f"{span(*pooled(chosen, PAPER, other)):>24}" for other in BRIEF))


def best_schedule(cells: Sequence[Cell]) -> None:
    """The best exponent, chosen on the even worlds and tested on the odd ones."""
    even, odd = slice(0, None, 2), slice(1, None, 2)

    def rank(chosen: Sequence[Cell]) -> str:
        return max(
            (name for name in SCHEDULES if name in cells[0].right),
            key=lambda name: pooled(chosen, name, PAPER, even)[0],
        )

    print("\nBest exponent, chosen on the even worlds; tested on the odd ones against the paper's, in points")
    for title, chosen in groups(cells).items():
        name = rank(chosen)
        print(f"  {title:<12} {name:<14} {span(*pooled(chosen, name, PAPER, odd))}")
    picks = [rank([cell]) for cell in cells]
    each = np.mean([c.right[name].astype(float) - c.right[PAPER] for c, name in zip(cells, picks, strict=True)], axis=0)
    mean, half = float(each[odd].mean()), 1.96 * float(each[odd].std(ddof=1)) / math.sqrt(len(each[odd]))
    print(f"  one for each cell: {span(mean, half)}")


def draw(cells: Sequence[Cell], path: Path) -> None:
    """The map as a figure: a panel for each alternative, rows are tasks, columns critics and budgets."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "map", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    rows = list(itertools.product(GRID["depth"], GRID["p"], GRID["spread"]))
    columns = list(itertools.product(GRID["auc"], GRID["chains"]))
    figure, axes = plt.subplots(3, 3, figsize=(15, 10.5), layout="constrained")
    kinds = ListedColormap([COLOR[kind] for kind in COLOR])
    for axis, other in zip(axes.flat, PANELS, strict=True):
        image = np.zeros((len(rows), len(columns)))
        for cell, (mean, _, kind, _) in zip(cells, compare(cells, other), strict=True):
            s = cell.setting
            x, y = columns.index((s.auc, cell.chains)), rows.index((s.depth, s.p, s.spread))
            image[y, x] = list(COLOR).index(kind)
            sign = {"win": "▲", "tie": "", "loss": "▼"}[kind]
            ink = "white" if kind == "win" else "black"
            axis.text(x, y, f"{sign}{100 * mean:+.0f}", ha="center", va="center", fontsize=7, color=ink)
        axis.imshow(image, cmap=kinds, vmin=0, vmax=len(COLOR) - 1, aspect="auto", interpolation="none")
        axis.set_title(f"{PAPER} minus {other}")
        axis.set_xticks(range(len(columns)), [f"{chains:g}\n{auc:g}" for auc, chains in columns], fontsize=7)
        axis.set_yticks(range(len(rows)), [f"{d}, {p:g}, {s:g}" for d, p, s in rows], fontsize=7)
        axis.set_xlabel("budget in chains, over the critic's AUC", fontsize=8)
        axis.set_ylabel("depth, p, spread", fontsize=8)
    worlds = len(cells[0].right[PAPER])
    figure.suptitle(
        f"Difference in accuracy, points, {worlds} worlds a cell. ▲ blue: {PAPER} is better, ▼ orange: worse"
        " (Holm over the cells of a panel, 5 %); gray: not told apart"
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def save(cells: Sequence[Cell], path: Path) -> None:
    """Write all cells as JSON, packed: a digit for each world."""
    rows = [
        {**vars(cell), "setting": asdict(cell.setting), "right": {m: _digits(x) for m, x in cell.right.items()}}
        for cell in cells
    ]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(rows, file)


def _digits(right: np.ndarray) -> str:
    return "".join("1" if x else "0" for x in right)


def load(path: Path) -> list[Cell]:
    """Read what `save` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = json.load(file)
    for row in rows:
        row["setting"] = Setting(**row["setting"])
        row["right"] = {method: np.array([x == "1" for x in digits]) for method, digits in row["right"].items()}
    return [Cell(**row) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=300, help="worlds a cell; every method searches each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", default="all", choices=("all", "grid", "variants"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write every row here, as JSON, packed (.json.gz)")
    parser.add_argument("--read", type=Path, help="do not run: read what --out wrote")
    parser.add_argument("--each", action="store_true", help="print every cell")
    parser.add_argument("--figure", type=Path, help="draw the grid here (.svg or .png)")
    args = parser.parse_args()
    if args.searches < 4:
        parser.error(f"--searches must be at least 4 for an interval, got {args.searches}")
    began = time.monotonic()
    if args.read:
        cells = load(args.read)
    else:
        with ProcessPoolExecutor(args.jobs) as pool:
            futures = [pool.submit(run_cell, *task, args.searches, args.seed) for task in tasks(args.cells)]
            cells = [future.result() for future in tqdm(futures, desc="cells")]
    if args.out:
        save(cells, args.out)
    grid, variants = ([c for c in cells if (c.name == "grid") is inside] for inside in (True, False))
    if grid:
        report(grid, "Grid", args.each)
        by_group(grid)
        best_schedule(grid)
    if variants:
        report(variants, "One thing at a time", args.each)
    if args.figure and grid:
        draw(grid, args.figure)
    searches = sum(len(cell.right) * len(cell.right[PAPER]) for cell in cells)
    print(f"\n{searches:,} searches, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
