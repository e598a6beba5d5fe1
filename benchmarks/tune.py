"""Settings of the search and of the peers, chosen on dev questions over stated grids, all by the same rule.

    python benchmarks/tune.py --bank bank/dev --out dev.jsonl.xz --docs docs/tuning.md

The rule: the best mean accuracy over the four budgets; ties go to what stands first, which is the default. Needs the
peers' packages (see peers.py). What was chosen for the peers is written to the package's record, and used in record.py.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from peers import GRID, PEERS
from peers import methods as peer_methods

from bavt_minimal import BudgetAware
from bavt_minimal.benchmark.efficiency import TIERS, Bench, benchmark_budget_efficiency, questions_of
from bavt_minimal.benchmark.methods import BAVT, METHODS, Method, by_ucb, tree
from bavt_minimal.benchmark.recorded import FOLDER
from bavt_minimal.benchmark.run import process_executor, progress_bar
from bavt_minimal.benchmark.store import Store, read_rows, write_rows

ETA, K = (0.4, 0.2, 0.3, 0.5), (3, 2, 4, 5)
DECAY, CAP = (0.85, 0.5, 0.7, 1.0), (50.0, 4.0, 10.0, 1000.0)
WEIGHT = (1.0, 0.5, 2.0)  # exploration constant of UCB
PRUNE = (-1.0, -0.2, -0.1, 0.0, 0.1)  # residuals that are not above it are pruned; -1: none is


@dataclass(frozen=True)
class Scaled:
    """Another eta. A class, as a lambda cannot be sent to another process."""

    scale: float

    def __call__(self, critic: Any) -> Any:
        return replace(critic, scale=self.scale)


def own() -> dict[str, dict[str, Method]]:
    """Family -> setting -> method, the default first."""
    return {
        "eta": {f"eta {x:g}": replace(tree(), change=Scaled(x)) for x in ETA},
        "k": {f"k {x}": tree(num_candidates=x) for x in K},
        "decay": {f"decay {x:g}": tree(selection=BudgetAware(decay=x)) for x in DECAY},
        "cap of the exponent": {f"alpha_max {x:g}": tree(selection=BudgetAware(alpha_max=x)) for x in CAP},
        "answer rule": {f"rule {x}": tree(answer_rule=x) for x in ("best", "weighted", "majority")},
        "value that ends": {f"stop_value {x:g}": tree(stop_value=x) for x in (1.0, 0.95, 0.9, 2.0)},
        "pruning": {f"prune_below {x:g}": tree(prune_below=x) for x in PRUNE},
        "budget in the prompt": {f"budget_hint {x}": tree(budget_hint=x) for x in (False, True)},
        "guide's UCB": {f"c {x:g}": tree(search=by_ucb, weight=x) for x in WEIGHT},
        "scaled UCB": {f"scaled c {x:g}": tree(search=by_ucb, weight=x, scaled=True) for x in WEIGHT},
    }


def peers() -> dict[str, dict[str, Method]]:
    """The same for the peers' grids."""
    there = peer_methods()
    return {
        name: {
            f"{name} {number}": Method(peer_methods({name: entry})[name], "adapter")
            for number, entry in enumerate(grid)
        }
        for name, grid in GRID.items()
        if name in there
    }


def report(rows: list[dict[str, Any]], families: dict[str, dict[str, Method]]) -> tuple[list[str], dict[str, Any]]:
    """Lines to read, and what was chosen for the peers."""
    right: dict[str, dict[Any, list[float]]] = {}
    for row in rows:
        right.setdefault(row["method"], {}).setdefault(row["tokens"], []).append(row["right"])
    mean = {name: np.mean([np.mean(found) for found in by.values()]) for name, by in right.items()}
    lines, chosen = [f"{len({row['question'] for row in rows})} dev questions, one seed; mean, then each budget"], {}
    for family, settings in families.items():
        best = max(settings, key=lambda name: mean[name])  # the first of equals
        default, *_ = settings
        lines.append(f"\n{family}: {len(settings)} settings; default {mean[default]:.3f}, best {mean[best]:.3f}")
        for name in sorted(settings, key=lambda name: -mean[name])[:6]:
            tiers = "  ".join(f"{np.mean(right[name][tokens]):.3f}" for tokens, _ in TIERS)
            entry = GRID[family][int(name.split()[-1])] if family in PEERS else ""
            lines.append(f"  {mean[name]:.3f} = {tiers}  {name}  {json.dumps(entry) if entry else ''}".rstrip())
        if family in PEERS:
            chosen[family] = GRID[family][int(best.split()[-1])]
    return lines, chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=36)
    parser.add_argument("--skip-worlds", type=int, default=62)
    parser.add_argument("--bank", type=Path, default=Path("bank/dev"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--read", type=Path, default=None, help="rows of an earlier run, which are not run again")
    parser.add_argument("--out", type=Path, default=None, help="write the rows here")
    parser.add_argument("--docs", type=Path, default=None, help="write what is printed here, as Markdown")
    args = parser.parse_args()
    families = own() | peers()
    methods = {name: method for family in families.values() for name, method in family.items()}
    with TemporaryDirectory() as folder, Store(Path(folder) / "rows.sqlite") as store, progress_bar() as progress:
        if args.read:
            store.add(read_rows(args.read))
        rows = benchmark_budget_efficiency(
            Bench(bank=args.bank, methods=METHODS | methods),
            dict.fromkeys((BAVT, *methods), TIERS),
            questions_of("dev", args.questions, args.skip_worlds),
            seeds=1,
            store=store,
            executor=partial(process_executor, args.jobs),
            progress=progress,
        )
    if args.out:
        write_rows(args.out, rows)
    lines, chosen = report(rows, families)
    print("\n".join(lines))
    (FOLDER / "peers.json").write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        text = TEXT.format(table="\n".join(lines))
        args.docs.write_text(text, encoding="utf-8")


TEXT = """# Settings tried on dev

Written by `python benchmarks/tune.py --read bavt_minimal/benchmark/recorded/dev.jsonl.xz --docs docs/tuning.md`.
All families were tuned by one rule, the best mean over the four budgets, ties to the default. The six best of each are
shown. **What was best for a peer is what it has in the benchmark.** Our own settings were chosen earlier, on other
worlds, and are left as they were; where another is ahead here, that is against us.

```text
{table}
```
"""


if __name__ == "__main__":
    main()
