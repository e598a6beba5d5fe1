"""How time and memory grow: searches of 10 to 100,000 nodes, and 1 to 10,000 questions in a store.

    python benchmarks/growth.py [--nodes 100000] [--questions 10000]

The model is scripted and costs next to nothing, so this is the cost of the search itself. "Last tenth" is the cost when
the tree has about that size; beside it the same over the first size's. Times are of this process on the CPU, so that
other programs hardly disturb them.
"""

from __future__ import annotations

import argparse
import math
import resource
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, Sample, SearchResult
from bavt_minimal.benchmark.run import run_jobs
from bavt_minimal.benchmark.store import Job, Row, Store

CHILDREN = 5  # drawn at each expansion
PLAN = ["Where is it?", *(f"What is next to #{i}?" for i in range(1, 10))]
LEAST = 1000  # nodes or questions to take a time of: fewer are repeated
TRACED = 10_000  # nodes at most where Python counts the bytes, which takes twice the time


class Fresh:
    """A model whose every sample is new."""

    name = "fresh"

    def sample(self, prompt: str, k: int, *, first: int = 0, **options: Any) -> list[Sample]:
        """Texts that no other prompt has, of various probability."""
        place = zlib.crc32(prompt.encode())
        chances = [0.3 + 0.4 * zlib.crc32(b"%d %d" % (place, j)) / 2**32 for j in range(first, first + k)]
        return [Sample(f"w{place}x{first + j}", 1, (math.log(p),), True) for j, p in enumerate(chances)]

    def count_tokens(self, text: str) -> int:
        """What it does not charge."""
        return 1


def search(nodes: int) -> tuple[SearchResult, float, float]:
    """A search of that many nodes, and the seconds of an expansion: on average over the whole search, and in its last
    tenth, from one selection to another, without what the search does once.
    """
    expansions = math.ceil((nodes - 1) / CHILDREN)
    searcher = BudgetAwareValueTreeSearch(
        *(Fresh(), None, Budget(2 * nodes, 2 * nodes), lambda query: f"A page about {query}."),
        num_candidates=CHILDREN,
        max_expansions=expansions,
        max_new_tokens=1,
        stop_value=2.0,
    )
    tenth, seen, marks = math.ceil(0.1 * (expansions - 1)), 0, [time.process_time()]
    for event in searcher.run("What is far from it?", plan=PLAN):
        seen += event.kind == "selected"
        if event.kind == "selected" and seen in (expansions - tenth, expansions):
            marks.append(time.process_time())
    began, late, last = marks
    return searcher.result, (time.process_time() - began) / expansions, (last - late) / tenth


def memory(nodes: int) -> float:
    """Bytes a node that a search of so many holds when it is over, its trace included."""
    tracemalloc.start()
    try:
        result, *_ = search(nodes)  # held while the bytes are counted
        return tracemalloc.get_traced_memory()[0] / (1 + sum(e.kind == "added" for e in result.trace.events))
    finally:
        tracemalloc.stop()


def work(jobs: list[Job]) -> list[Row]:
    """Rows as the benchmark's, and no search."""
    rest = {"answer": "Rome", "right": 1.0, "hops": 2, "used": 60, "by_role": {"generator": [60, 0, 900]}}
    rest |= {"prompt_tokens": 900, "tool_calls_used": 4, "reason": "tokens", "forced": False, "fault": ""}
    return [vars(job) | rest | {"seconds": 1.5} for job in jobs]


def store(questions: int) -> tuple[float, float]:
    """Seconds and bytes of a question, when so many are run and stored."""
    jobs = [Job("bavt", 64, 16, 0, f"test-{number}-1") for number in range(questions)]
    with tempfile.TemporaryDirectory() as folder:
        path, began = Path(folder) / "rows.sqlite", time.process_time()
        with Store(path) as rows:
            run_jobs(jobs, work, rows)
        return (time.process_time() - began) / questions, path.stat().st_size / questions


def sizes(least: int, most: int) -> list[int]:
    """Powers of ten."""
    return [10**i for i in range(9) if least <= 10**i <= most]


def mean(measure: Callable[[int], Sequence[float]], size: int) -> list[float]:
    """Each number that is measured, over enough repetitions."""
    found = [measure(size) for _ in range(max(1, LEAST // size))]
    return [sum(column) / len(found) for column in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=10_000)
    options = parser.parse_args()
    search(LEAST)  # a first search also loads what is loaded once
    print("   nodes   ms an expansion   last tenth   ratio   KB a node")
    base = 0.0
    for nodes in sizes(10, options.nodes):
        whole, last = mean(lambda size: search(size)[1:], nodes)
        base = base or last
        kept = f"{memory(nodes) / 1000:9.1f}" if nodes <= TRACED else "        -"
        print(f"{nodes:8,}   {1e3 * whole:15.3f}   {1e3 * last:10.3f}   {last / base:5.2f}   {kept}", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB (Linux)")
    store(1)
    print("questions   ms a question   ratio   bytes a question in the file")
    base = 0.0
    for questions in sizes(1, options.questions):
        seconds, size = mean(store, questions) if questions > 1 else mean(lambda _: store(1), 100)
        base = base or seconds
        print(f"{questions:9,}   {1e3 * seconds:13.3f}   {seconds / base:5.2f}   {size:28,.0f}", flush=True)


if __name__ == "__main__":
    main()
