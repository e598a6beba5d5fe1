"""Make the published record: all methods and peers on the test questions, with the settings chosen on dev.

    python benchmarks/record.py --store record.sqlite --jobs 2      # hours; a killed run goes on where it was
    python benchmarks/record.py --seconds                           # searches that share no samples, for the seconds

The bank grows in the package's record, and the rows are written there at the end, with the facts of the run. Peers that
are not installed are an error: they belong in the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

from peers import PEERS
from peers import methods as peer_methods

from bavt_minimal import __version__
from bavt_minimal.benchmark.efficiency import (
    PRESETS,
    TIERS,
    Bench,
    Tiers,
    benchmark_budget_efficiency,
    digests,
    make_jobs,
    questions_of,
)
from bavt_minimal.benchmark.methods import BAVT, METHODS, PLANNING, RERANK, VOTE, Method
from bavt_minimal.benchmark.recorded import BANK, FOLDER, SKIPPED
from bavt_minimal.benchmark.run import process_executor, progress_bar, run_jobs
from bavt_minimal.benchmark.store import Job, Store, write_rows

SEEDS, PLANNED = 3, 90  # questions that the agent also plans for itself, with one seed: a plan is dear to draw
TIMED = (VOTE, RERANK, BAVT, "bavt, logprob", "greedy chain", "actor tuned, greedy chain")


def published() -> dict[str, Tiers]:
    """Method -> budgets: all presets, and the peers where BAVT is."""
    plan: dict[str, Tiers] = dict.fromkeys(PEERS, TIERS)
    for preset in PRESETS.values():
        for name, tiers in preset(METHODS).items():
            plan[name] = tuple(dict.fromkeys((*plan.get(name, ()), *tiers)))
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--store", type=Path, default=Path("record.sqlite"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cheap", action="store_true", help="leave out what is dear to draw: plans of its own")
    parser.add_argument("--seconds", action="store_true")
    parser.add_argument("--timed", type=int, default=8, help="questions of a run for the seconds")
    args = parser.parse_args()
    if args.seconds:
        plan = dict.fromkeys(TIMED, (TIERS[1], TIERS[-1]))
        questions = questions_of("test", args.timed, SKIPPED)
        write_rows(
            FOLDER / "seconds.jsonl.xz", benchmark_budget_efficiency(Bench(fresh=True), plan, questions, seeds=1)
        )
        return
    chosen = json.loads((FOLDER / "peers.json").read_text(encoding="utf-8"))
    peers = {name: Method(build, "adapter") for name, build in peer_methods(chosen).items()}
    if missing := set(PEERS) - set(peers):
        raise SystemExit(f"not installed: {', '.join(sorted(missing))}; see peers.py")
    bench, plan = Bench(bank=BANK, methods=METHODS | peers), published()
    if args.cheap:
        plan |= dict.fromkeys(PLANNING, ())
    questions = questions_of("test", args.questions, SKIPPED)
    jobs = make_jobs({name: tiers for name, tiers in plan.items() if name not in PLANNING}, questions, SEEDS)
    jobs += make_jobs({name: plan[name] for name in PLANNING}, questions[:PLANNED], 1)
    adapters = digests()
    with (
        Store(args.store, {"version": __version__, **adapters, "peers": chosen}) as store,
        progress_bar() as progress,
    ):
        run_jobs(jobs, bench, store, partial(process_executor, args.jobs), bench.world_of, progress)
        wanted = set(jobs)
        write_rows(FOLDER / "test.jsonl.xz", [row for row in store.rows() if Job.of(row) in wanted])
    packages = ("torch", "transformers", "peft", "numpy", "scipy", "treequest", "llm-reasoners")
    facts = {
        "date": date.today().isoformat(),
        "command": f"python benchmarks/record.py --questions {args.questions}{' --cheap' * args.cheap}",
        "first world": questions[0].rpartition("-")[0],
        "adapters": adapters,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
    (FOLDER / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
