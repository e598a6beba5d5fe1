"""Kill a sweep with four processes at random moments, resume it, and compare it with one that was left alone.

    python tests/kill_sweep.py --kills 10 [--questions 60] [--processes 4] [--seed 0]

The kill is a kill -9 of the parent, without a word to its workers: they have to end by themselves. The sweep says how
many rows are stored after each batch; so many must be there after the kill, and all rows of the kills before. The last
line is the verdict; exit code 1 if a row was lost, doubled or changed, or a process was left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, greedy, uniform
from bavt_minimal.benchmark.run import process_executor, run_jobs
from bavt_minimal.benchmark.store import Job, Row, Store
from bavt_minimal.models.scripted import ScriptedModel

RULES: dict[str, Any] = {"bavt": None, "greedy": greedy, "uniform": uniform}
TIERS = ((20, 4), (60, 12), (None, 3))
UNITS = ("tokens", "tool_calls", "prompt_tokens")
SEEDS = 2
SECONDS = 300  # a sweep that takes longer, or a process that outlives its parent by so much, hangs
WORDS = ["Rome", "Oslo", "New York", "Ann Lee", "Bob"]


def make_jobs(questions: int) -> list[Job]:
    """All methods at all budgets."""
    names, seeds = (f"test-{number}" for number in range(questions)), range(SEEDS)
    return [Job(rule, *tier, seed, name) for name in names for rule in RULES for tier in TIERS for seed in seeds]


def search_all(jobs: list[Job]) -> list[Row]:
    """The work: real searches with a scripted model."""
    return [search_one(job) for job in jobs]


def search_one(job: Job) -> Row:
    def table(prompt: str) -> dict[str, float]:
        return {word: 1 + zlib.crc32(f"{job.question} {word} {prompt}".encode()) % 5 for word in WORDS}

    began = time.monotonic()
    search = BudgetAwareValueTreeSearch(
        ScriptedModel(table),
        budget=Budget(job.tokens, job.tool_calls),
        tool="About {}.".format,
        selection=RULES[job.method],
        seed=job.seed,
    )
    result = search.search(job.question, plan=["Where is it?", "Who runs #1?", "Where was #2 born?"])
    used = {role: [*map(units.__getitem__, UNITS)] for role, units in result.ledger.by_role().items()}
    return {
        "method": job.method,
        "tokens": job.tokens,
        "tool_calls": job.tool_calls,
        "seed": job.seed,
        "question": job.question,
        "answer": result.answer,
        "right": float(result.answer == "Rome"),
        "hops": 3,
        "used": result.ledger.spent["tokens"],
        "by_role": used,
        "prompt_tokens": result.ledger.prompt_tokens,
        "tool_calls_used": result.ledger.spent["tool_calls"],
        "reason": result.reason,
        "forced": result.forced,
        "fault": "",
        "seconds": time.monotonic() - began,
    }


def sweep(path: Path, questions: int, processes: int) -> None:
    """What is killed: it prints how many rows are stored, each time that some are."""

    def tell(done: int, total: int) -> None:
        print(done, flush=True)

    with Store(path) as store:
        run_jobs(make_jobs(questions), search_all, store, partial(process_executor, processes), progress=tell)


def start(path: Path, questions: int, processes: int, quiet: bool = True) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own."""
    command = [sys.executable, __file__, "--sweep", str(path)]
    command += ["--questions", str(questions), "--processes", str(processes)]
    stderr = subprocess.DEVNULL if quiet else None  # workers that are just starting complain when they are left alone
    # No buffer: `communicate` with a time limit would miss what `readline` had read ahead.
    return subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=stderr)


def kill(process: subprocess.Popen[bytes], lines: int, seconds: float) -> tuple[int, bool]:
    """Kill a sweep `seconds` after it said so many lines. Returns the rows that it said are stored, and if it lived."""
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    time.sleep(seconds)
    process.kill()
    # The workers hold the pipe too, so this returns once they have ended as well.
    said += process.communicate(timeout=SECONDS)[0].splitlines()
    return max((int(line) for line in said if line.strip()), default=0), process.returncode != 0


def die(folder: Path, jobs: list[Job]) -> list[Row]:
    """Work that kills its process: for "test-0" always, for "test-3" once."""
    once = folder / "died"
    if jobs[0].question == "test-0" or (jobs[0].question == "test-3" and not once.exists()):
        once.touch()
        time.sleep(0.2)  # others get done
        os.kill(os.getpid(), signal.SIGKILL)
    return search_all(jobs)


def without_seconds(rows: list[Row]) -> list[Row]:
    return [row | {"seconds": 0.0} for row in rows]


def compare(expected: list[Row], path: Path) -> dict[str, int]:
    """How the stored rows differ from those of a sweep that was left alone, read without the store's own code."""
    with closing(sqlite3.connect(path)) as connection:
        keys = [key for (key,) in connection.execute("SELECT job FROM rows")]
    with Store(path) as store:
        found = store.rows()
    jobs = [Job.of(row) for row in found]
    return {
        "lost": len({Job.of(row) for row in expected} - set(jobs)),
        "doubled": len(jobs) - len(set(jobs)) + len(keys) - len(set(keys)),
        "changed": sum(row not in without_seconds(expected) for row in without_seconds(found)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.sweep:
        sweep(options.sweep, options.questions, options.processes)
        return 0
    rng, killed, problems = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        with Store(Path(folder) / "alone.sqlite") as store:
            run_jobs(make_jobs(options.questions), search_all, store)
            expected = store.rows()
        path, earlier = Path(folder) / "killed.sqlite", list[Row]()
        most = 2 * options.questions * SEEDS // (options.kills + 1)
        for number in range(options.kills):
            lines = rng.randint(0, most)
            # Without a line: while it starts. Else soon after a commit, which may be in the middle of the next one.
            process = start(path, options.questions, options.processes)
            stored, lived = kill(process, lines, rng.uniform(0, 0.02 if lines else 2))
            killed += lived
            with Store(path) as store:
                rows = store.rows()
            lost = stored > len(rows) or any(row not in rows for row in earlier)
            problems += lost
            earlier = rows
            print(f"kill {number + 1}: said {stored}, stored {len(rows)} of {len(expected)}{' LOST' * lost}")
        last = start(path, options.questions, options.processes, quiet=False)
        last.communicate(timeout=SECONDS)
        problems += last.returncode != 0
        difference = compare(expected, path)
    print(
        f"{killed} kills, {len(expected)} rows: {difference['lost']} lost, {difference['doubled']} doubled, "
        f"{difference['changed']} changed, {problems} other problems"
    )
    return 1 if problems or any(difference.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
