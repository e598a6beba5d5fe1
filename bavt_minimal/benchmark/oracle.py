"""A critic that knows the gold path: the upper bound that no real critic passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..budget import Ledger
from ..checks import check_range
from ..steps import Step, normalize


@dataclass(frozen=True)
class OracleCritic:
    """Judges by the gold answers of the sub-questions: `path[i]` answers number `i`. For bounds only.

    Raises TypeError if `path` is one string instead of several.
    """

    path: Sequence[str]
    scale: float = 0.4

    def __post_init__(self) -> None:
        if isinstance(self.path, str):
            raise TypeError(f"path must be a list of answers, got one string: {self.path!r}")
        object.__setattr__(self, "path", tuple(self.path))
        check_range("scale", self.scale, 0.0, 1.0)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """+scale for a step that is on the gold path with all before it, else -scale. Costs nothing."""
        return [self.scale if self.on_path(step) else -self.scale for step in steps]

    def on_path(self, step: Step) -> bool:
        """Whether this answer and all before it are the gold ones, up to case, articles and punctuation."""
        said = [normalize(answer) for answer in (*step.answers, step.text)]
        return said == [normalize(answer) for answer in self.path[: len(said)]]
