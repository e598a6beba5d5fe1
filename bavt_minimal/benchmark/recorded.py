"""What is published: the rows of the test questions, the bank that they replay from, and facts about their making."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from .bank import Bank, Difference, redraw
from .efficiency import Bench, load
from .methods import METHODS
from .run import process_executor
from .store import Job, Row, read_rows

FOLDER = Path(str(files(__package__))) / "recorded"
BANK = FOLDER / "bank"
SKIPPED = 64  # test worlds that earlier versions were measured on
IGNORED = ("seconds",)  # what may differ when a row is made again


def rows() -> list[Row]:
    """All rows of the test questions."""
    return read_rows(FOLDER / "test.jsonl.xz")


def seconds() -> list[Row]:
    """Rows of a run without a bank, whose seconds are those of the model; none if there was no such run."""
    path = FOLDER / "seconds.jsonl.xz"
    return read_rows(path) if path.exists() else []


def facts() -> dict[str, Any]:
    """When, with what and by which command they were made."""
    found: dict[str, Any] = json.loads((FOLDER / "facts.json").read_text(encoding="utf-8"))
    return found


def replay(recorded: Sequence[Row], worlds: int, rng: random.Random) -> tuple[int, list[str], float]:
    """Search all rows of some worlds again, in the bank alone: how many, what differs, and seconds.

    The peers' rows are left out: their packages need not be there.
    """
    bench, began = Bench(bank=BANK, offline=True), time.monotonic()
    own: dict[str, list[Job]] = {}
    for row in recorded:
        if row["method"] in METHODS:
            own.setdefault(bench.world_of(Job.of(row)), []).append(Job.of(row))
    chosen = [own[name] for name in rng.sample(sorted(own), min(worlds, len(own)))]
    again: dict[Job, Row] = {}
    with process_executor(2) as pool:
        for found in pool.map(bench, chosen):
            again |= {Job.of(row): row for row in found}
    before = {Job.of(row): row for row in recorded}
    differ = [
        f"{job}: {name} was {before[job][name]!r}, is {row[name]!r}"
        for job, row in again.items()
        for name in row
        if name not in IGNORED and before[job][name] != row[name]
    ]
    return len(again), differ, time.monotonic() - began


@dataclass
class Check:
    """What came of drawing states of the bank anew."""

    states: int = 0
    identical: int = 0
    differences: list[str] = field(default_factory=list)  # other texts
    apart: float = 0.0  # the most that a log-probability of the same text differs

    def __str__(self) -> str:
        return (
            f"{self.states - len(self.differences)} of {self.states} states: the same texts; {self.identical} of these "
            f"bit for bit, the others' log-probabilities at most {self.apart:.5f} apart"
        )


def check(states: int, rng: random.Random) -> Check:
    """Draw random states of random worlds anew with the real model."""
    paths, found = sorted(BANK.glob("*.json.xz")), Check()
    for path in rng.choices(paths, k=states):
        difference: Difference = redraw(Bank(path), partial(load, None), rng)
        found.states += 1
        found.identical += difference.identical
        found.apart = max(found.apart, difference.apart)
        if difference.text:
            found.differences.append(difference.text)
    return found
