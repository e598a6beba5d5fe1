"""How far a critic's probabilities can be believed, and how to mend them.

Ranking well (AUC) and being right about one's own errors (ECE, Brier) are two things: a search that adds residuals up
needs both. Everything here works on plain arrays: p (N,) in [0, 1], y (N,) of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_choice, check_count

Array = NDArray[np.float64]
EDGE = 1e-6  # probabilities are kept this far from 0 and 1 before a logit is taken
BINNINGS = ("mass", "width")


def logit(p: ArrayLike) -> Array:
    """Log-odds of probabilities; within +-13.8, as p is kept `EDGE` from 0 and 1. NaN counts as no evidence: 0."""
    kept = np.clip(np.nan_to_num(np.asarray(p, dtype=float), nan=0.5), EDGE, 1 - EDGE)
    return np.log(kept / (1 - kept))


def sigmoid(z: ArrayLike) -> Array:
    """Probability of log-odds, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(z, dtype=float))))


@dataclass(frozen=True)
class Platt:
    """p = sigmoid(slope * score + intercept). On logits, an intercept of 0 makes the slope 1 / temperature.

    Source: Platt 1999; temperature scaling is Guo et al. 2017.
    """

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, scores: ArrayLike, y: ArrayLike) -> Platt:
        """The likeliest slope and intercept. Raises ValueError unless both classes are there."""
        from sklearn.linear_model import LogisticRegression

        x, labels = _scores(scores), check_labels(y, np.size(scores))
        # Standardized, or a wide range of scores makes the solver stop early; C: next to no penalty.
        center, spread = float(x.mean()), float(x.std()) or 1.0
        fitted = LogisticRegression(C=1e4).fit((x[:, None] - center) / spread, labels)
        slope = float(fitted.coef_[0, 0]) / spread
        return cls(slope, float(fitted.intercept_[0]) - slope * center)

    def __call__(self, scores: ArrayLike) -> Array:
        """Probabilities of scores (N,)."""
        return sigmoid(self.slope * _scores(scores) + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """The monotone step function closest to the labels, as its corners; straight lines between, level outside."""

    scores: tuple[float, ...]
    chances: tuple[float, ...]

    @classmethod
    def fit(cls, scores: ArrayLike, y: ArrayLike) -> Isotonic:
        """Fit by scikit-learn. Raises ValueError unless both classes are there."""
        from sklearn.isotonic import IsotonicRegression

        x, labels = _scores(scores), check_labels(y, np.size(scores))
        fitted = IsotonicRegression(out_of_bounds="clip").fit(x, labels)
        return cls(tuple(map(float, fitted.X_thresholds_)), tuple(map(float, fitted.y_thresholds_)))

    def __call__(self, scores: ArrayLike) -> Array:
        """Probabilities of scores (N,)."""
        return np.interp(_scores(scores), self.scores, self.chances)


Calibration = Platt | Isotonic


def read_calibration(facts: Mapping[str, Any]) -> Calibration:
    """The calibration that `dataclasses.asdict` wrote. Raises ValueError if it is neither."""
    try:
        if set(facts) == {"slope", "intercept"}:
            return Platt(float(facts["slope"]), float(facts["intercept"]))
        if set(facts) == {"scores", "chances"} and len(facts["scores"]) == len(facts["chances"]) > 0:
            return Isotonic(tuple(map(float, facts["scores"])), tuple(map(float, facts["chances"])))
    except (TypeError, ValueError):
        pass
    raise ValueError(f"a calibration has slope and intercept, or scores and chances as long; got {facts!r:.200}")


class Bin(NamedTuple):
    """One row of a reliability diagram."""

    steps: int
    predicted: float  # mean probability
    right: float  # share that is right


def reliability(p: ArrayLike, y: ArrayLike, bins: int = 10, by: str = "mass") -> list[Bin]:
    """Rows of a reliability diagram, from low to high; empty bins are left out.

    `by` "mass": bins of as many steps each (ties may split); "width": of equal width on [0, 1], as in Guo et al. 2017.
    """
    chances = check_probabilities(p)
    labels, bins = check_labels(y, len(chances), both=False), check_count("bins", bins, least=1)
    if check_choice("by", by, BINNINGS) == "mass":
        groups = np.array_split(np.argsort(chances, kind="stable"), bins)
    else:
        place = np.minimum((chances * bins).astype(int), bins - 1)
        groups = [np.flatnonzero(place == i) for i in range(bins)]
    return [Bin(len(g), float(chances[g].mean()), float(labels[g].mean())) for g in groups if len(g)]


def ece(p: ArrayLike, y: ArrayLike, bins: int = 10, by: str = "mass") -> float:
    """The gap between predicted and right in a bin (expected calibration error); see `reliability`."""
    rows = reliability(p, y, bins, by)
    return sum(row.steps * abs(row.predicted - row.right) for row in rows) / sum(row.steps for row in rows)


def brier(p: ArrayLike, y: ArrayLike) -> float:
    """Mean squared error of the probabilities."""
    chances = check_probabilities(p)
    return float(np.mean((chances - check_labels(y, len(chances), both=False)) ** 2))


def auc(scores: ArrayLike, y: ArrayLike) -> float:
    """Chance that a right step scores higher than a wrong one, ties counted half. NaN without both classes."""
    x = _scores(scores)
    labels = check_labels(y, len(x), both=False)
    return float(_weighted_auc(x, labels, np.ones((1, len(x))))[0])


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def auc_interval(
    scores: ArrayLike, y: ArrayLike, clusters: Sequence[object], draws: int = 1000, seed: int = 0
) -> Interval:
    """AUC with a 95 % percentile bootstrap that resamples clusters (worlds), whose steps are not independent.

    With a single cluster, or a single class, the interval is unknown: NaN.
    """
    x = _scores(scores)
    labels = check_labels(y, len(x), both=False)
    _, member = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)
    if len(member) != len(x):
        raise ValueError(f"clusters must name one for each of the {len(x)} scores, got {len(member)}")
    size = int(member.max()) + 1
    value = float(_weighted_auc(x, labels, np.ones((1, len(x))))[0])
    if size < 2 or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    # A resample only changes how often each step counts, so the scores are sorted once for all.
    times = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=check_count("draws", draws, 1))
    found = np.concatenate([_weighted_auc(x, labels, block[:, member]) for block in np.array_split(times, 10)])
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _weighted_auc(x: Array, labels: Array, weights: NDArray[Any]) -> Array:
    """AUC of each row of weights (R, N)."""
    _, rank = np.unique(x, return_inverse=True)
    order = np.argsort(rank, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(rank[order]) > 0])
    good = np.add.reduceat((weights * labels)[:, order], starts, axis=1)  # (R, distinct scores)
    bad = np.add.reduceat((weights * (1 - labels))[:, order], starts, axis=1)
    below = np.cumsum(bad, axis=1) - bad
    pairs = good.sum(1) * bad.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((good * (below + bad / 2)).sum(1) / pairs)


def _scores(scores: ArrayLike) -> Array:
    # -inf is a fair score for an impossible step; NaN is worth no more than that.
    x = np.nan_to_num(np.asarray(scores, dtype=float), nan=-1e4, neginf=-1e4, posinf=1e4)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"scores must be a flat list and not empty, got shape {x.shape}")
    return x


def check_probabilities(p: ArrayLike) -> Array:
    """Return p (N,) as floats; raise ValueError if it is empty or leaves [0, 1]."""
    found = np.asarray(p, dtype=float)
    if found.ndim != 1 or not len(found) or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"p must be a flat, non-empty list of numbers in [0, 1], got {found!r:.100}")
    return found


def check_labels(y: ArrayLike, count: int, both: bool = True) -> Array:
    """Return y (N,) as 0.0 and 1.0; raise ValueError for another length or value, or if a class is missing."""
    found = np.asarray(y, dtype=float)
    if found.shape != (count,) or not np.isin(found, (0, 1)).all():
        raise ValueError(f"y must be {count} labels of 0 and 1, got {found!r:.100}")
    if both and len(set(found.tolist())) < 2:
        raise ValueError("y must have right and wrong steps to fit on; it has one kind only")
    return found
