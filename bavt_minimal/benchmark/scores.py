"""The statistics of a benchmark's rows: intervals, paired differences, and verdicts of claims that are made together.

A question is the unit everywhere: its seeds are averaged first, and an interval is a 95 % percentile bootstrap over
questions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .efficiency import BEYOND, PAPER, TIERS
from .methods import BAVT, BOUNDS, CHARGED, METHODS
from .store import Row

Array = NDArray[np.float64]
Budget = tuple[int | None, int | None]  # tokens, tool calls
Cell = tuple[str, int | None, int | None]  # the same with a method before
RESAMPLES = 9_999
LEVEL = 0.05
PEERS = ("TreeQuest", "llm-reasoners")  # how the peers' names begin
PAPER_TIMES = (1, 2, 4, 10)
BETTER, WORSE, SAME, NONE = "better", "worse", "not told apart", "-"


def number(x: float, signed: bool = False) -> str:
    """Three digits, as in .456 or, signed, +.056."""
    text = f"{round(x, 3) + 0.0:{'+' if signed else ''}.3f}"  # + 0.0 makes of -0 a 0
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


class Interval(NamedTuple):
    """A mean, or a ratio of means, over n questions, and its 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def text(self, signed: bool = False) -> str:
        """Such as .456 [.400, .511]."""
        value, low, high = (number(x, signed) for x in self[:3])
        return f"{value} [{low}, {high}]"


class Difference(NamedTuple):
    """A paired difference, its two-sided p, and how many seeds both methods have."""

    interval: Interval
    p: float
    seeds: int


# Statistics


def resample(columns: Array, parts: int) -> tuple[Array, Array]:
    """Ends (N / parts,) of the intervals of means of columns (n, N); two parts: of means in the first by the second."""
    from scipy.stats import bootstrap

    n = len(columns)

    def means(index: Array, axis: int = -1) -> Array:
        # All columns are resampled alike. How often each question was drawn makes the means one product of matrices.
        drawn = np.atleast_2d(index).astype(int)
        flat = (drawn + n * np.arange(len(drawn))[:, None]).ravel()
        found: Array = columns.T @ np.bincount(flat, minlength=drawn.size).reshape(drawn.shape).T / n
        # Rounded, or the order in which a CPU adds would decide how an end such as .9375 is printed.
        top, *under = np.split(np.round(found, 12), parts)
        return top / np.maximum(under[0], 1e-9) if under else top

    found = bootstrap(
        (np.arange(n),),
        means,
        n_resamples=RESAMPLES,
        batch=max(1, 500_000 // n),  # 4 MB, and some copies
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return found.low, found.high


def intervals(columns: Array, under: Array | None = None) -> list[Interval | None]:
    """Of the means of columns (questions, N) or, with `under` of the same shape, of their ratios to its means.

    NaN: that question is not there. None: fewer than two questions are, or the means of `under` are not above 0.
    """
    found: list[Interval | None] = [None] * columns.shape[1]
    there = np.isfinite(columns) if under is None else np.isfinite(columns) & np.isfinite(under)
    groups: dict[bytes, list[int]] = {}
    for i, mask in enumerate(there.T):
        groups.setdefault(mask.tobytes(), []).append(i)
    for key, own in groups.items():
        mask = np.frombuffer(key, dtype=bool)
        parts = [part[mask][:, own] for part in (columns, under) if part is not None]
        n = int(mask.sum())
        if n < 2:
            continue
        values = parts[0].mean(0)
        if under is not None:
            below = parts[1].mean(0)
            values = np.where(below > 0, values / np.where(below > 0, below, 1.0), np.nan)
        level = np.all([np.ptp(part, axis=0) == 0 for part in parts], axis=0)
        low, high = np.where(level, values, resample(np.hstack(parts), len(parts)))
        for i, value, start, end in zip(own, values, low, high, strict=True):
            if np.isfinite(value):
                found[i] = Interval(float(value), float(start), float(end), n)
    return found


def sign_flips(columns: Array) -> Array:
    """Two-sided p (N,) of paired differences (questions, N): is their mean 0? NaN: that question is not there.

    If the two methods are alike, each difference could as well have the other sign. This holds however many differences
    are equal or 0, which here are most; Wilcoxon's test falls back on an approximation then, and asks about ranks, not
    about the mean that is reported.
    """
    from scipy.stats import permutation_test

    scores = np.nan_to_num(columns)  # a 0 has no sign, so a question that is not there has no say
    return np.asarray(
        permutation_test(
            (np.ones(len(scores)),),
            # Rounded, or sums that are equal but for their order would not be taken for equal.
            lambda signs, axis: np.round(signs @ scores, 9),
            permutation_type="samples",
            n_resamples=RESAMPLES,
            batch=max(1, 500_000 // len(scores)),
            vectorized=True,
            rng=np.random.default_rng(0),
        ).pvalue
    )


def holm(p_values: Sequence[float]) -> Array:
    """P-values (N,) adjusted for N tests (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def over_seeds(values: Array) -> Array:
    """Means (questions,) of (questions, seeds); NaN: not there."""
    there = np.isfinite(values)
    count = there.sum(1)
    return np.where(count > 0, np.where(there, values, 0.0).sum(1) / np.maximum(count, 1), np.nan)


class Scores:
    """Rows by cell, and what was computed of them.

    Raises ValueError if there are no rows, those of one question only, or two for a job.
    """

    def __init__(self, rows: Iterable[Row]):
        self.rows: dict[Cell, list[Row]] = {}
        for row in rows:
            self.rows.setdefault((row["method"], row["tokens"], row["tool_calls"]), []).append(row)
        if not self.rows:
            raise ValueError("there are no rows to report on")
        self.methods: list[str] = sorted({name for name, *_ in self.rows}, key=lambda name: (_rank(name), name))
        every = [row for own in self.rows.values() for row in own]
        self.questions: dict[str, int] = {name: i for i, name in enumerate(sorted({row["question"] for row in every}))}
        self.seeds: dict[int, int] = {seed: i for i, seed in enumerate(sorted({row["seed"] for row in every}))}
        if len(self.questions) < 2:
            raise ValueError(
                f"an interval needs two questions or more, got rows of {next(iter(self.questions))!r} only"
            )
        for cell, own in self.rows.items():
            twice = Counter((row["question"], row["seed"]) for row in own).most_common(1)[0]
            if twice[1] > 1:
                raise ValueError(f"there must be one row for each job, got {twice[1]} for {cell} and {twice[0]}")

    def values(self, cell: Cell, name: str = "right") -> Array:
        """A field by (questions, seeds); NaN: no row."""
        found = np.full((len(self.questions), len(self.seeds)), np.nan)
        for row in self.rows.get(cell, ()):
            found[self.questions[row["question"]], self.seeds[row["seed"]]] = row[name]
        return found

    def mean(self, cell: Cell, name: str) -> float:
        """Of a field over all rows of a cell."""
        return float(np.mean([row[name] for row in self.rows[cell]]))

    @cached_property
    def accuracy(self) -> dict[Cell, Interval | None]:
        """Of every cell. None: fewer than two questions."""
        found = intervals(np.stack([over_seeds(self.values(cell)) for cell in self.rows], axis=1))
        return dict(zip(self.rows, found, strict=True))

    @cached_property
    def tiers(self) -> list[Budget]:
        """Budgets of the methods that are compared; without those of the paper's and the guide's preset."""
        paper = {times(budget, k) for budget in PAPER for k in PAPER_TIMES} - {*TIERS, *BEYOND}
        found = {(tokens, calls) for name, tokens, calls in self.rows if name not in CHARGED}
        return sorted(found - paper, key=lambda budget: [float("inf") if x is None else x for x in budget])

    @cached_property
    def critic(self) -> str:
        """Of the search that the claims are about: "adapter", or else the first of one's own."""
        own = [name for name in self.methods if name.startswith("bavt, ") and name not in BOUNDS | CHARGED]
        return BAVT.removeprefix("bavt, ") if BAVT in own or not own else own[0].removeprefix("bavt, ")

    def best_peer(self, budget: Budget) -> str | None:
        """By its accuracy in these rows."""
        own = {name: self.accuracy.get((name, *budget)) for name in self.methods if name.startswith(PEERS)}
        return max((name for name, found in own.items() if found), key=lambda name: own[name] or (0.0,), default=None)


Rows = Sequence[Row] | Scores


def scores(rows: Rows) -> Scores:
    """Rows by cell, once."""
    return rows if isinstance(rows, Scores) else Scores(rows)


def mean_interval(rows: Rows, cell: Cell) -> Interval:
    """Accuracy of a cell. Raises LookupError if it has no rows, ValueError if it has those of one question."""
    found = scores(rows).accuracy.get(_there(scores(rows), cell))
    if found is None:
        raise ValueError(f"an interval needs two questions or more, got one for {cell}")
    return found


def difference(rows: Rows, one: Cell, other: Cell) -> Difference:
    """Accuracy of `one` minus `other`, on questions and seeds that both have. Errors as of `mean_interval`."""
    data = scores(rows)
    found = _differences(data, [(_there(data, one), _there(data, other))])[0]
    if found is None:
        raise ValueError(f"an interval needs two questions or more that both have, {one} and {other} do not")
    return found


def _there(data: Scores, cell: Cell) -> Cell:
    if cell not in data.rows:
        raise LookupError(f"there are no rows of {cell}")
    return cell


def _differences(data: Scores, pairs: Sequence[tuple[Cell, Cell]]) -> list[Difference | None]:
    if not pairs:
        return []
    each = [data.values(one) - data.values(other) for one, other in pairs]
    columns = np.stack([over_seeds(values) for values in each], axis=1)
    return [
        interval and Difference(interval, float(p), int(np.isfinite(values).any(0).sum()))
        for interval, p, values in zip(intervals(columns), sign_flips(columns), each, strict=True)
    ]


# Claims


@dataclass(frozen=True)
class Claim:
    """One cell minus another. `p` is adjusted for all claims of the family. None: a cell is not there."""

    one: Cell
    other: Cell
    found: Difference | None
    p: float = 1.0

    @property
    def verdict(self) -> str:
        """BETTER, WORSE or SAME, at LEVEL; NONE if there is nothing to judge."""
        if self.found is None:
            return NONE
        if self.p >= LEVEL:
            return SAME
        return BETTER if self.found.interval.value > 0 else WORSE


def claims(rows: Rows, pairs: Sequence[tuple[Cell, Cell]]) -> list[Claim]:
    """A family of claims with Holm's correction over those whose cells are there; empty if none are."""
    data = scores(rows)
    found = [None if not {one, other} <= data.rows.keys() else (one, other) for one, other in pairs]
    measured = iter(_differences(data, [pair for pair in found if pair]))
    differences = [next(measured) if pair else None for pair in found]
    adjusted = iter(holm([each.p for each in differences if each]))
    return [
        Claim(one, other, each, float(next(adjusted)) if each else 1.0)
        for (one, other), each in zip(pairs, differences, strict=True)
        if any(differences)
    ]


def times(budget: Budget, factor: int) -> Budget:
    """A multiple of a budget; unlimited stays so."""
    tokens, calls = (None if x is None else factor * x for x in budget)
    return tokens, calls


def _rank(name: str) -> int:
    """The shipped methods stand in their own order, the others after these by name."""
    return list(METHODS).index(name) if name in METHODS else len(METHODS)
