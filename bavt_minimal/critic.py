"""The critic's role: how much did the last step add?

A critic is any callable `(steps, ledger) -> residuals`: one number in [-1, 1] for each step, judged together, its
costs charged to the role "critic". `tokens_per_step` says the most that judging one step generates, so that the search
can keep it free; 0 if absent. `scale` is eta, the residual of certain progress; 1 if absent. It keeps one step from
moving a node's value across the whole range, and tells the search what a residual says of the chance of being right.
Source: paper, "residual value critic".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .budget import Ledger
from .checks import check_range
from .residual import residual
from .steps import LanguageModel, Step

Critic = Callable[[Sequence[Step], Ledger], Sequence[float]]


def judge_tokens(critic: object) -> int:
    """The most that judging one step generates; 0 if the critic does not say."""
    return int(getattr(critic, "tokens_per_step", 0))


@dataclass(frozen=True)
class LogProbCritic:
    """How sure the generator was of what it wrote: p = exp(mean log-probability). Needs no training, costs nothing.

    >>> from bavt_minimal.steps import Sample
    >>> sample = Sample("London", tokens=2, logprobs=(-0.1, -0.1), finished=True)
    >>> step = Step("Where was Ada born?", "Ada", "", "", sample, final=True)
    >>> [round(x, 3) for x in LogProbCritic()([step], Ledger())]
    [0.324]
    """

    scale: float = 0.4

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0.0, 1.0)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]; a step without tokens gets -scale."""
        return [residual(self.probability(step.sample.logprobs), self.scale) for step in steps]

    @staticmethod
    def probability(logprobs: Sequence[float]) -> float:
        """Geometric mean of the tokens' probabilities.

        >>> round(LogProbCritic.probability((-0.1, -0.3)), 3)
        0.819
        """
        return math.exp(min(0.0, sum(logprobs) / len(logprobs))) if logprobs else 0.0


@dataclass(frozen=True)
class PromptedCritic:
    """The same model, asked whether the last step added something right: p = P(yes) / (P(yes) + P(no)).

    The paper's form of critic. Its exact prompt is not published; ours asks for the step's own contribution. It costs
    one token and one prompt a step. On SmolLM2-135M it is no better than chance: see the notebooks.

    >>> from bavt_minimal.models import ScriptedModel
    >>> from bavt_minimal.steps import Sample
    >>> critic = PromptedCritic(ScriptedModel({"Reply:": {"yes": 3, "no": 1}}))
    >>> sample = Sample("London", tokens=2, logprobs=(-0.1, -0.1), finished=True)
    >>> step = Step("Where was Ada born?", "Ada", "Ada was born in London.", "", sample, final=True)
    >>> ledger = Ledger()
    >>> critic([step], ledger), ledger.spent["tokens"]
    ([0.2], 1)
    """

    model: LanguageModel
    scale: float = 0.4
    instruction: str = "Does the last answer add a correct new fact that the page states? Reply yes or no."
    tokens_per_step: int = 1

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0.0, 1.0)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]. Raises BudgetExceeded if the judgments cannot be paid for."""
        return [residual(self.probability(step, ledger), self.scale) for step in steps]

    def probability(self, step: Step, ledger: Ledger) -> float:
        """P(yes) among yes and no."""
        prompt = f"{step.trajectory()}\n{self.instruction}\nReply:"
        prompt_tokens = self.model.count_tokens(prompt)
        with ledger.reserve("critic", tokens=1, prompt_tokens=prompt_tokens) as call:
            yes, no = (math.exp(sum(scores)) for scores in self.model.score(prompt, (" yes", " no")))
            call.spend(tokens=1)
        return yes / (yes + no) if yes + no > 0 else 0.5


@dataclass(frozen=True)
class ConstantCritic:
    """The same residual for every step: what the search does without a judge.

    >>> from bavt_minimal.steps import Sample
    >>> step = Step("Where was Ada born?", "Ada", "", "", Sample("London", 2, (-0.1, -0.1), True), final=True)
    >>> ConstantCritic(0.1)([step, step], Ledger())
    [0.1, 0.1]
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        check_range("value", self.value, -1.0, 1.0)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """`value` for each step."""
        return [self.value] * len(steps)
