"""The critic's adapter: the same model, taught to read, says how likely it finds the last step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..budget import Ledger
from ..checks import check_range
from ..steps import LanguageModel, Step
from .calibration import Calibration, read_calibration
from .path import path_residuals


@dataclass(frozen=True)
class AdapterCritic:
    """p = the probability of the step's whole text, newline included, after its page and question.

    `model`: usually `load_model().with_adapter("critic")`. It needs no worked examples, so its prompt is a fifth of the
    generator's. `calibration` maps the log-probability to a probability; None: exp. It generates nothing: all that it
    costs is prompt tokens, metered as the critic's.
    """

    model: LanguageModel
    scale: float = 0.4
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0.0, 1.0)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]. Raises BudgetExceeded where prompts are charged and are too dear."""
        return path_residuals(self.probabilities(steps, ledger), self.scale, steps)

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Probabilities of the steps; 0 for a text that has none."""
        scores = self.scores(steps, ledger)
        if self.calibration is not None and scores:
            return [float(p) for p in self.calibration(scores)]
        return [math.exp(min(0.0, score)) for score in scores]

    def scores(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Log-probabilities; -inf for no number. A state's candidates share its prefill, equals are read once."""
        states: dict[str, dict[str, float]] = {}
        for step in steps:
            states.setdefault(self.prompt(step), {})[f" {step.text}\n"] = -math.inf
        for prompt, texts in states.items():
            tokens = self.model.count_tokens(prompt) + sum(map(self.model.count_tokens, texts))
            with ledger.reserve("critic", prompt_tokens=tokens):
                for text, each in zip(list(texts), self.model.score(prompt, list(texts)), strict=True):
                    total = math.fsum(each) if each and all(map(math.isfinite, each)) else -math.inf
                    texts[text] = total
        return [states[self.prompt(step)][f" {step.text}\n"] for step in steps]

    @staticmethod
    def prompt(step: Step) -> str:
        """The page and the question, as in training; no page where nothing was looked up."""
        page = f"Page: {step.page}\n" if step.page else ""
        return f"{page}Question: {step.question}\nAnswer:"


def load_adapter_critic(folder: Path, model: LanguageModel, scale: float = 0.4) -> AdapterCritic:
    """The critic of an adapter's view, with the calibration that lies beside the adapter, if there is one.

    Raises ValueError for a calibration.json that is damaged.
    """
    path = folder / "calibration.json"
    if not path.is_file():
        return AdapterCritic(model, scale)
    try:
        return AdapterCritic(model, scale, read_calibration(json.loads(path.read_text(encoding="utf-8"))))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): fit it again") from error
