"""Ways to ask a model, in words, whether a step is right: forms of the paper's prompted critic.

The paper's exact prompt is not published. On SmolLM2-135M every form is close to chance, some are below it; a larger
model may do better with the same table (`bavt critics --model ...`). The kernel has one form, `PromptedCritic`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..budget import Ledger
from ..checks import check_choice, check_range
from ..critic import PromptedCritic
from ..residual import residual
from ..steps import EXAMPLES, LanguageModel, Step

RESIDUAL = PromptedCritic.instruction
YES_NO = {" yes": 1.0, " no": 0.0}
RATING = {" 1": 0.0, " 2": 0.25, " 3": 0.5, " 4": 0.75, " 5": 1.0}
# The generator's own examples, two answered rightly and two by another name on their page.
WRONG = {"Copper Lane?": "North Star", "Oakham?": "Henry Marsh"}


class Form(NamedTuple):
    """One way to ask: a prompt, and what each reply is worth between 0 and 1."""

    prompt: Callable[[Step], str]
    replies: Mapping[str, float]
    corrected: bool = False  # take off the log-odds of the same prompt without the candidate


def _ask(instruction: str) -> Callable[[Step], str]:
    return lambda step: f"{step.trajectory()}\n{instruction}\nReply:"


def _verdicts() -> str:
    blocks = []
    for block in EXAMPLES.strip().split("\n\n"):
        frame, _, answer = block.rpartition("Answer: ")
        wrong = next((name for end, name in WRONG.items() if end in frame), "")
        blocks.append(f"{frame}Answer: {wrong or answer}\nRight: {'no' if wrong else 'yes'}\n\n")
    return "".join(blocks)


SHOTS = _verdicts()
FORMS = {
    "residual": Form(_ask(RESIDUAL), YES_NO),
    "absolute": Form(_ask("Is the answer above correct? Reply yes or no."), YES_NO),
    "true-false": Form(
        lambda step: f"{step.trajectory()}\nTrue or false: the page says that the answer is {step.text}.\nReply:",
        {" true": 1.0, " false": 0.0},
    ),
    "few-shot": Form(lambda step: f"{SHOTS}{step.trajectory()}\nRight:", YES_NO),
    "pmi": Form(lambda step: f"{SHOTS}{step.trajectory()}\nRight:", YES_NO, corrected=True),
    "rating": Form(_ask("How well does the page support the last answer, from 1 (not) to 5 (fully)?"), RATING),
}


@dataclass(frozen=True)
class FormCritic:
    """A model asked in one of the `FORMS`: p = the mean worth of its reply.

    Like the kernel's `PromptedCritic` it costs one token and one prompt for each time that it asks.
    """

    model: LanguageModel
    form: str = "residual"
    scale: float = 0.4
    tokens_per_step: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        check_choice("form", self.form, tuple(FORMS))
        check_range("scale", self.scale, 0.0, 1.0)
        object.__setattr__(self, "tokens_per_step", 2 if FORMS[self.form].corrected else 1)

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]. Raises BudgetExceeded if the judgments cannot be paid for."""
        return [residual(p, self.scale) for p in self.probabilities(steps, ledger)]

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """How right each step is said to be, in [0, 1]; .5 where no reply is likely at all."""
        return [self._judge(step, ledger) for step in steps]

    def _judge(self, step: Step, ledger: Ledger) -> float:
        form = FORMS[self.form]
        said = self._worth(form, step, ledger)
        if not form.corrected:
            return said
        # Pointwise mutual information: how much more the reply is yes with the candidate than with no answer.
        bare = self._worth(form, replace(step, sample=replace(step.sample, text="unknown")), ledger)
        odds, against = said * (1 - bare), (1 - said) * bare
        return odds / (odds + against) if odds + against > 0 else 0.5

    def _worth(self, form: Form, step: Step, ledger: Ledger) -> float:
        prompt = form.prompt(step)
        with ledger.reserve("critic", tokens=1, prompt_tokens=self.model.count_tokens(prompt)) as call:
            scores = self.model.score(prompt, tuple(form.replies))
            call.spend(tokens=1)
        chances = [math.exp(total) if math.isfinite(total := sum(each)) else 0.0 for each in scores]
        worth = sum(c * value for c, value in zip(chances, form.replies.values(), strict=True))
        return worth / sum(chances) if sum(chances) > 0 else 0.5
