"""The planner's role: turn a question into a list of sub-questions, and draw several such plans.

The source states one plan at the root (paper, "planning"). Here different sampled plans are the root's children, so
that the search widens over plans as it does over steps, and gives up a wrong plan because what lies below it is worth
little. A plan ends with a blank line and has this form, with "#1" for the answer to the first sub-question:

    Plan:
    1. In which city was Anna Becker born?
    2. Who is the mayor of #1?
    2 lookups

The number of lookups that the plan needs comes last: stated first, a small model has to guess it before it has read the
question hop by hop, and gets one plan in ten wrong by it (measured).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .budget import Budget, BudgetExceeded, Ledger
from .checks import check_count, check_range
from .residual import residual
from .steps import LanguageModel, Sample, check_model, check_plan, clean, draw, normalize

MOST_STEPS = 12  # a longer plan is rejected
COUNT = re.compile(r"([0-9]+) lookups?[.:]?", re.IGNORECASE)  # the plan's last line
NUMBER = re.compile(r"([0-9]{1,2})[.)]\s*")  # before a sub-question

# Worked examples for a model without a planner's adapter; their names occur in no generated world.
PLAN_EXAMPLES = """\
Budget: 64 tokens, 16 lookups
Question: Who is the mayor of the city in which Anna Becker was born?
Plan:
1. In which city was Anna Becker born?
2. Who is the mayor of #1?
2 lookups

Budget: 32 tokens, 8 lookups
Question: Which river joins the River Swan?
Plan:
1. Which river joins the River Swan?
1 lookups

Budget: 128 tokens, unlimited lookups
Question: What is the twin town of the birthplace of the founder of Copper Lane?
Plan:
1. Who founded Copper Lane?
2. Where was #1 born?
3. What is the twin town of #2?
3 lookups

"""


def format_plan(steps: Sequence[str]) -> str:
    r"""The text that is to follow "Plan:", up to and including its stop; `parse_plan` reads it back.

    >>> format_plan(["Where was Ada born?", "Who is the mayor of #1?"])
    '\n1. Where was Ada born?\n2. Who is the mayor of #1?\n2 lookups\n\n'
    """
    lines = [*(f"{number}. {step}" for number, step in enumerate(steps, 1)), f"{len(steps)} lookups"]
    return "\n" + "\n".join(lines) + "\n\n"


def parse_plan(text: str) -> tuple[str, ...]:
    r"""The sub-questions of a plan as a model wrote it.

    Repaired: white space, "1)" for "1.", numbers or the count of lookups left out. Raises ValueError that says why for
    anything else: a count or number that is wrong, a sub-question that is empty, doubled or refers to a later one.

    >>> parse_plan("1) Where was Ada born?\n2) Who is the mayor of #1?\n2 lookups")
    ('Where was Ada born?', 'Who is the mayor of #1?')
    >>> parse_plan("1. Where was Ada born?\n2. Who is the mayor of #2?")
    Traceback (most recent call last):
        ...
    ValueError: plan step 2 refers to #2; it can refer to #1 .. #1 only
    """
    body = re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    lines = [clean(line, 600).strip() for line in body.splitlines()]
    stated = [match[1] for line in lines if (match := COUNT.fullmatch(line))]
    steps: list[str] = []
    for place, line in enumerate((line for line in lines if not COUNT.fullmatch(line)), 1):
        number = NUMBER.match(line)
        if number and int(number[1]) != place:
            raise ValueError(f"step {place} has the number {int(number[1])}")
        steps.append(" ".join(clean(line[number.end() if number else 0 :], 500).split()))
    if not steps:
        raise ValueError("there is no step")
    if len(steps) > MOST_STEPS:
        raise ValueError(f"{len(steps)} steps, more than {MOST_STEPS}")
    for count in stated:
        if count.lstrip("0") != str(len(steps)):
            raise ValueError(f"{count[:9]} lookups are stated and {len(steps)} steps given")
    words = [normalize(step) for step in steps]
    for place, said in enumerate(words, 1):
        if not said or said in words[: place - 1]:
            raise ValueError(f"step {place} {'is said twice' if said else 'is empty'}")
    return check_plan("a plan", steps)


@dataclass(frozen=True)
class DrawnPlan:
    r"""A plan as it was drawn, and why it is of no use if it is not. The state of a plan's node.

    >>> DrawnPlan.read(Sample("1. Where was Ada born?\n3 lookups", 9, (), True), max_depth=5).fault()
    'malformed: 3 lookups are stated and 1 steps given'
    """

    sample: Sample
    steps: tuple[str, ...] = ()
    why: str = ""
    final: ClassVar[bool] = False  # a plan is no answer

    @classmethod
    def read(cls, sample: Sample, max_depth: int) -> DrawnPlan:
        """Parse a sample. A plan of more than `max_depth` steps could never be followed to its end."""
        if not sample.finished:
            return cls(sample, why="unfinished")
        try:
            steps = parse_plan(sample.text)
        except ValueError as error:
            return cls(sample, why=f"malformed: {error}")
        return cls(sample, steps, f"too deep: {len(steps)} steps" if len(steps) > max_depth else "")

    @property
    def text(self) -> str:
        """The plan on one line."""
        return " ".join(f"{i}. {step}" for i, step in enumerate(self.steps, 1)) or clean(self.sample.text, 500)

    def fault(self) -> str:
        """Why this plan is of no use, or ""."""
        return self.why


@dataclass(frozen=True)
class Planner:
    """Draws plans for a question with a model, through a ledger, charged to the role "planner".

    `examples` come before the prompt's frame: `PLAN_EXAMPLES` for a model without a planner's adapter. `candidates`
    plans are drawn each time that the root is expanded (always one by a chain). With `greedy_first` the first plan of a
    search is the likeliest one, the later ones are sampled. `budget_hint` states the whole budget in the prompt.

    >>> from bavt_minimal.models import ScriptedModel
    >>> written = format_plan(["Where was Ada born?", "Who is the mayor of #1?"]).strip()
    >>> planner = Planner(ScriptedModel({"Plan:": {written: 1}}))
    >>> prompt = planner.prompt("Who is the mayor of the birthplace of Ada?", Budget(tokens=64))
    >>> print(prompt)
    Budget: 64 tokens, unlimited lookups
    Question: Who is the mayor of the birthplace of Ada?
    Plan:
    >>> samples = planner.draw(prompt, 1, first=0, seed=0, ledger=Ledger())
    >>> DrawnPlan.read(samples[0], max_depth=5).steps
    ('Where was Ada born?', 'Who is the mayor of #1?')
    """

    model: LanguageModel = field(repr=False)
    examples: str = field(default="", repr=False)
    candidates: int = 1
    max_plan_tokens: int = 96
    temperature: float = 0.8
    top_k: int = 40
    scale: float = 0.4
    budget_hint: bool = True
    greedy_first: bool = True

    def __post_init__(self) -> None:
        check_model("planner's model", self.model)
        if not isinstance(self.examples, str):
            raise TypeError(f"examples must be a string, got {self.examples!r}")
        check_count("candidates", self.candidates, least=1)
        check_count("max_plan_tokens", self.max_plan_tokens, least=1)
        check_count("top_k", self.top_k)
        check_range("temperature", self.temperature, 0.0, 1e3)
        check_range("scale", self.scale, 0.0, 1.0)

    def prompt(self, question: str, budget: Budget) -> str:
        """Worked examples, then the frame; the numbers are those of the whole budget."""
        frame = f"Question: {clean(question, 500)}\nPlan:"
        if not self.budget_hint:
            return re.sub(r"^Budget:.*\n", "", self.examples, flags=re.MULTILINE) + frame
        tokens, calls = ("unlimited" if n is None else n for n in (budget.tokens, budget.tool_calls))
        return f"{self.examples}Budget: {tokens} tokens, {calls} lookups\n{frame}"

    def draw(self, prompt: str, k: int, first: int, seed: int, ledger: Ledger) -> list[Sample]:
        """Up to `k` plans, numbers `first` and on, as many as the budget surely pays for.

        Texts are cleaned line by line. Raises BudgetExceeded if not even one token is left.
        """
        options: dict[str, Any] = {"seed": seed, "top_k": self.top_k, "stop": ("\n\n",)}
        calls = [(k, self.temperature)]
        if self.greedy_first and first == 0:
            calls = [(1, 0.0), (k - 1, self.temperature)][:k]
        samples: list[Sample] = []
        for count, temperature in calls:
            options |= {"first": first + len(samples), "temperature": temperature}
            try:
                samples += draw(self.model, prompt, count, ledger, "planner", self.max_plan_tokens, **options)
            except BudgetExceeded:
                if not samples:  # a second call that cannot be paid for loses nothing
                    raise
        return [Sample(tidy(s.text), s.tokens, s.logprobs, s.finished) for s in samples]

    def judge(self, plans: Sequence[DrawnPlan], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]: how sure the planner was of each whole plan. Costs nothing."""
        return [residual(math.exp(min(0.0, sum(plan.sample.logprobs))), self.scale) for plan in plans]


def tidy(text: object) -> str:
    """A text of several lines, each cleaned; it becomes part of a trace."""
    return "\n".join(clean(line, 600) for line in str(text)[:20_000].splitlines()[:40])
