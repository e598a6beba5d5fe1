"""Several critics weighed together: a logistic regression on their log-odds.

A head knows where in the page the answer stood, the log-probability how sure the model was: they err apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..budget import Ledger
from ..checks import check_choice, check_range
from ..residual import residual
from ..steps import Step
from .calibration import check_labels, logit, sigmoid
from .path import path_residuals

VIEWS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda logprobs: math.fsum(logprobs) / len(logprobs),
    "sum": math.fsum,
    "min": min,
    "first": lambda logprobs: logprobs[0],
}


class Judge(Protocol):
    """A critic that can say how likely a step is right."""

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """One number in [0, 1] for each step; costs go to the role "critic"."""


@dataclass(frozen=True)
class LogProb:
    """p = exp of a view of the tokens' log-probabilities: their mean, sum, least or first. Free, without training."""

    view: str = "mean"
    scale: float = 0.4

    def __post_init__(self) -> None:
        check_choice("view", self.view, tuple(VIEWS))
        check_range("scale", self.scale, 0.0, 1.0)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]."""
        return [residual(p, self.scale) for p in self.probabilities(steps, ledger)]

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """0 for a step without tokens, or with one that is no number."""
        return [self._probability(step.sample.logprobs) for step in steps]

    def _probability(self, logprobs: Sequence[float]) -> float:
        if not logprobs or any(map(math.isnan, logprobs)):
            return 0.0
        return math.exp(min(0.0, VIEWS[self.view](logprobs)))


@dataclass(frozen=True)
class MixCritic:
    """p = sigmoid(intercept + sum of weight x log-odds), over `parts` by name. `weights` has the same names."""

    parts: Mapping[str, Judge]
    weights: Mapping[str, float]
    intercept: float = 0.0
    scale: float = 0.4

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0.0, 1.0)
        if not self.parts or set(self.parts) != set(self.weights):
            raise ValueError(f"weights must name the parts ({', '.join(self.parts)}), got {', '.join(self.weights)}")
        if not all(map(math.isfinite, [self.intercept, *self.weights.values()])):
            raise ValueError(f"weights and intercept must be finite, got {self.weights}, {self.intercept}")

    @property
    def layers(self) -> tuple[int, ...]:
        """The hidden states that the parts want."""
        wanted = {layer for part in self.parts.values() for layer in getattr(part, "layers", ())}
        return tuple(sorted(wanted))

    @property
    def tokens_per_step(self) -> int:
        """The most that judging one step generates."""
        return sum(int(getattr(part, "tokens_per_step", 0)) for part in self.parts.values())

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]. Raises BudgetExceeded if a part does."""
        return path_residuals(self.probabilities(steps, ledger), self.scale, steps)

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Every part is asked once for all the steps."""
        odds = np.full(len(steps), self.intercept)
        for name, part in self.parts.items():
            odds += self.weights[name] * logit(part.probabilities(steps, ledger))
        return [float(p) for p in sigmoid(odds)]

    def to_json(self) -> dict[str, Any]:
        """The numbers; `MixCritic(parts, **numbers)` is the mix again."""
        return {"weights": dict(self.weights), "intercept": self.intercept, "scale": self.scale}


def fit_mix(chances: Mapping[str, ArrayLike], y: ArrayLike) -> tuple[dict[str, float], float]:
    """Weights and intercept for the probabilities (N,) of each part, from labels (N,), by scikit-learn.

    Raises ValueError unless both right and wrong steps are there.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.stack([logit(p) for p in chances.values()], axis=1)
    spread = x.std(0) + 1e-9
    fitted = LogisticRegression(C=10.0).fit(x / spread, check_labels(y, len(x)))
    weights = fitted.coef_[0] / spread
    return dict(zip(chances, map(float, weights), strict=True)), float(fitted.intercept_[0])
