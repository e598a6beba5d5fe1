"""Theorem 1 beside real searches: in the simulator, where all chances are known, and on the real model's bank.

    python benchmarks/theorem.py --bank DIR --questions 300      # by default the package's record
    python benchmarks/theorem.py --part simulator

No model is needed. On the bank, M is the theorem's bound for a search that always selects the right state, with the
chance of a right step that the bank's draws give.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from bavt_minimal.benchmark.bank import SEEDS, Bank
from bavt_minimal.benchmark.efficiency import PER_WORLD, TIERS, Bench, world_of
from bavt_minimal.benchmark.methods import METHODS
from bavt_minimal.benchmark.progress import STARVED, Chances, Way, chances, watch
from bavt_minimal.benchmark.recorded import BANK
from bavt_minimal.benchmark.simulator import Setting
from bavt_minimal.benchmark.theorem import V_MIN, measure
from bavt_minimal.budget import Budget
from bavt_minimal.tasks.lookup import Lookup

EPS = (0.1, 0.05)
TOKENS_PER_EXPANSION = 12  # three draws of about four
WATCHED = {  # name here -> method
    "V^(1/r) up to 50": "bavt, adapter",
    "the same, oracle": "bavt, oracle",
    "alpha = 1": "alpha = 1",
    "greedy": "greedy",
}


def simulator() -> None:
    """The bound beside what searches needed, one draw an expansion, decay and limit of widening off."""
    print("Theorem 1, eps = .05, p = .6, 400 worlds a line; r falls from 1 to 0 over the expansions that are paid for")
    print("depth wrong  AUC  alpha_max   paid     p_min      bound   found   needed   bound/needed   least chance met")
    for depth, wrong, auc, alpha_max in itertools.product((2, 3), (1, 2), (0.5, 0.9), (1.0, 4.0, 50.0)):
        setting = Setting(depth=depth, wrong=wrong, auc=auc, p=0.6)
        for paid in (30, 300):
            m = measure(setting, paid, alpha_max)
            loose = f"{m.bound / m.needed:.0e}" if math.isfinite(m.needed) else "-"
            print(
                f"{depth:5}{wrong:6}{auc:5.1f}{alpha_max:11.0f}{paid:7}{m.p_min:10.1e}{m.bound:11.1e}{m.found:8.3f}"
                f"{m.needed:9.0f}{loose:>15}{m.least:19.1e}",
                flush=True,
            )


@dataclass
class Found:
    """A question, and the searches that looked for its answer."""

    known: Chances
    ways: dict[str, list[Way]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)  # searches whose draws the bank lacks


def look(folder: Path, questions: int | None, seeds: int, budget: Budget) -> list[Found]:
    """Every question of the bank, or the first so many."""
    paths, found = sorted(folder.glob("*.json.xz")), list[Found]()
    if not paths:
        raise SystemExit(f"there is no bank in {folder}")
    if questions is not None:
        paths = paths[: -(-questions // PER_WORLD)]
    bench = Bench(bank=folder, offline=True)
    for path in tqdm(paths, desc="worlds"):
        bank = Bank(path)
        world, golds = world_of(f"{path.name.partition('.')[0]}-0")
        tool, parts = Lookup(world.pages), bench.make_parts(bank)
        for question in world.questions:
            gold = golds[question.id]
            row = Found(chances(bank, question, gold, tool))
            for (name, method), seed in itertools.product(WATCHED.items(), range(seeds)):
                try:
                    way = watch(METHODS[method], parts, budget, tool, seed, question, gold)
                except LookupError:
                    row.missing[name] = row.missing.get(name, 0) + 1
                else:
                    row.ways.setdefault(name, []).append(way)
            found.append(row)
    return found[:questions]


def at(values: Iterable[float], share: float) -> float:
    """The least value that so large a share of them does not pass; NaN ones left out."""
    there = sorted(x for x in values if not math.isnan(x))
    return there[max(0, math.ceil(share * len(there)) - 1)] if there else math.nan


def text(x: float, digits: int = 0) -> str:
    """A number, or "-" if it is not finite."""
    if not math.isfinite(x):
        return "-"
    return f"{x:.{digits}f}" if x < 1e5 else f"{x:.0e}"


def share(flags: Iterable[bool]) -> float:
    """Of true ones."""
    return float(np.mean([*flags] or [math.nan]))


def groups(rows: Sequence[Found]) -> dict[str, list[Found]]:
    """By hops, then all."""
    hops = sorted({len(row.known.hops) for row in rows})
    return {str(n): [row for row in rows if len(row.known.hops) == n] for n in hops} | {"all": [*rows]}


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Right-aligned under their heads."""
    for line in (columns, *lines):
        print("  ".join(f"{cell:>{len(head)}}" for cell, head in zip(line, columns, strict=True)), flush=True)


def print_chances(rows: Sequence[Found]) -> None:
    """What the draws say."""
    print("\nThe chance p of a right step, a draw, in the states of the gold path; least: of a question's states.")
    print("never: no right draw in some state, and the upper 95 % end of p there. partly: a state was never reached,")
    print("and counts as sure. M: medians, - is no bound. exact: what M bounds, where all states were reached.")

    def line(name: str, own: Sequence[Found]) -> Iterable[str]:
        known = [row.known for row in own]
        least, never = [each.worst.p for each in known], [each.worst for each in known if not each.worst.right]
        exact = [each.quantile(EPS[0]) for each in known]
        loose = [each.bound(EPS[0]) / x for each, x in zip(known, exact, strict=True) if math.isfinite(x)]
        yield from (name, f"{len(own)}")
        yield f"{np.mean([hop.p for each in known for hop in each.hops if hop.draws]):.2f}"
        yield from (f"{at(least, quarter / 4):.3f}" for quarter in (1, 2, 3))
        yield from (
            f"{share(not each.worst.right for each in known):.3f}",
            text(at((h.interval()[1] for h in never), 0.5), 3),
        )
        yield f"{share(not each.whole for each in known):.3f}"
        yield from (text(at((each.bound(eps) for each in known), 0.5)) for eps in EPS)
        yield from (text(at(exact, 0.5)), text(at(loose, 0.5), 1))

    heads = ("hops", "questions", "mean p", "least p: 25 %", " 50 %", " 75 %", "never", "p up to", "partly")
    heads += (*(f"M, eps {eps:g}" for eps in EPS), "exact, eps .1", "M/exact")
    table(heads, ([*line(name, own)] for name, own in groups(rows).items()))


def print_ways(rows: Sequence[Found], budget: Budget) -> None:
    """What searches needed."""
    paid = (budget.tokens or 0) // TOKENS_PER_EXPANSION
    print(f"\nSearches with {budget.tokens} tokens and {budget.tool_calls} tool calls: about {paid} expansions.")
    print(
        "missing: the bank lacks their draws. needed: expansions up to the right answer, - if fewer searches found it."
    )
    print(f"promised: M, eps .1, is at most {paid}; then how many of these and of the others found it.")
    print(
        "M/needed, met/needed: medians of those that found it; met: M with the least chance of progress that they met,"
    )
    print("selection included. chance: the least that the right state had of being selected, over searches.")
    print(f"starved: it was below {STARVED:g} in some turn; lost: in the last turn too, and the answer was not found.")

    def line(rule: str, name: str, own: Sequence[Found]) -> Iterable[str]:
        pairs = [(row.known, way) for row in own for way in row.ways.get(rule, ())]
        good = [(known, way) for known, way in pairs if way.found]
        needed = [len(way.turns) if way.found else math.inf for _, way in pairs]
        least = [min((x for _, x in way.turns if not math.isnan(x)), default=math.nan) for _, way in pairs]
        yield from (rule, name, f"{len(pairs)}", f"{sum(row.missing.get(rule, 0) for row in own)}")
        yield from (f"{share(way.found for _, way in pairs):.3f}", text(at(needed, 0.5)), text(at(needed, 0.9)))
        yield f"{share(known.bound(EPS[0]) <= paid for known, _ in pairs):.3f}"
        for promised in (True, False):
            yield text(share(way.found for known, way in pairs if (known.bound(EPS[0]) <= paid) is promised), 3)
        yield text(at((known.bound(EPS[0]) / len(way.turns) for known, way in good), 0.5), 1)
        yield text(at((known.bound(EPS[0], way.p_min(known)) / len(way.turns) for known, way in good), 0.5), 1)
        yield from (f"{at(least, 0.5):.2g}", f"{at(least, 0.05):.1g}")
        yield from (f"{share(way.starved for _, way in pairs):.3f}", f"{share(way.lost for _, way in pairs):.3f}")

    heads = ("            rule", "hops", "searches", "missing", "found", "needed: 50 %", "90 %", "promised", "found")
    heads += ("others", "M/needed", "met/needed", "chance: 50 %", "  5 %", "starved", " lost")
    table(heads, ([*line(rule, name, own)] for rule in WATCHED for name, own in groups(rows).items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("both", "simulator", "model"), default="both")
    parser.add_argument("--bank", type=Path, default=BANK)
    parser.add_argument("--questions", type=int, help="the first so many; by default all")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tier", type=int, choices=range(len(TIERS)), default=len(TIERS) - 1)
    args = parser.parse_args()
    if args.part != "model":
        simulator()
    if args.part != "simulator":
        budget = Budget(*TIERS[args.tier])
        rows = look(args.bank, args.questions, args.seeds, budget)
        print_chances(rows)
        print_ways(rows, budget)
        low, high = (V_MIN**alpha / (V_MIN**alpha + 1) for alpha in (1, 50))
        print(f"\nBefore any search only V >= {V_MIN} is known: beside one other node the right one is selected with a")
        print(f"chance of at least {low:.2f} with alpha = 1, {high:.0e} with alpha up to 50, 0 if it is unbounded.")


if __name__ == "__main__":
    main()
