"""The generator's role: turn a position in a plan into a prompt, and a sample into a step.

A plan is a list of sub-questions; "#1" in a later one stands for the answer to the first (as in MuSiQue). One step
reads the page that its query finds (a tool call) and answers one sub-question. What a tool returns is data: it is
cleaned before it enters a prompt, so that it cannot break the prompt's frame.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from inspect import iscoroutinefunction
from typing import Any, Protocol

from .budget import BudgetExceeded, Ledger
from .checks import check_count, check_range

Tool = Callable[[str], str]
Plan = Sequence[str] | None  # sub-questions; None: the question is its own single step
LOWEST = -1e4  # stands for a log-probability of -inf or NaN, which JSON does not have
REFERENCE = re.compile(r"#(\d{1,4})")
PAGE_CHARACTERS = 2000  # a longer page is cut; about 500 tokens

# Four worked examples show the model the frame; their names occur in no generated world.
EXAMPLES = """\
Page: Anna Becker is a botanist. Anna Becker was born in Eastwick and works for Amber Glass. Married to Peter \
Novak, Anna Becker now lives in Kingsport.
Question: In which city was Anna Becker born?
Answer: Eastwick

Page: Copper Lane is a company. The owner of Copper Lane is Blue Anchor, and its main rival is North Star. \
Copper Lane was founded by Oscar Reed and is based in Whitby Cross.
Question: Which company is the owner of Copper Lane?
Answer: Blue Anchor

Page: The River Swan is a river. The river that joins the River Swan is the River Finch, not the River Heron. \
The River Swan rises on Mount Grey and ends in Port Rose.
Question: Which river joins the River Swan?
Answer: River Finch

Page: Oakham is a city. The mayor of Oakham is Sofia Lind, and its twin town is Red Cliff. The railway from \
Oakham leads to Fox Hill, and its famous poet was Henry Marsh.
Question: Who is the mayor of Oakham?
Answer: Sofia Lind

"""


@dataclass(frozen=True)
class Sample:
    """One continuation of a prompt."""

    text: str  #: without the stop string
    tokens: int  #: generated, through the first stop string or EOS, the stop's token included
    logprobs: tuple[float, ...]  #: (tokens,) natural log, of the plain model (temperature 1, no top-k)
    finished: bool  #: False: cut off by max_new_tokens
    hidden: Mapping[int, Any] = field(default_factory=dict, repr=False, compare=False)  #: layer -> (H,) float32


class LanguageModel(Protocol):
    """What the search needs of a model. `models/` has a real and a scripted one."""

    name: str

    def sample(
        self,
        prompt: str,
        k: int,
        *,
        first: int = 0,
        seed: int = 0,
        max_new_tokens: int = 8,
        temperature: float = 0.8,
        top_k: int = 40,
        stop: Sequence[str] = ("\n",),
        layers: Sequence[int] = (),
    ) -> list[Sample]:
        """Samples number `first` .. `first + k - 1`; sample j depends on (seed, prompt, j) and nothing else."""

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probability of each token of each continuation."""

    def encode(self, texts: Sequence[str], layers: Sequence[int]) -> list[dict[int, Any]]:
        """Hidden states of each text: layer -> (T, H) float32."""

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`."""


@dataclass(frozen=True)
class Step:
    """A judged unit of work: one sample, and where it came from.

    >>> sample = Sample("London", tokens=2, logprobs=(-0.1, -0.1), finished=True)
    >>> step = Step("Where was Ada born?", "Ada", "Ada was born in London.", "", sample, final=True)
    >>> print(step.trajectory())
    Page: Ada was born in London.
    Question: Where was Ada born?
    Answer: London
    """

    question: str  #: the sub-question, references filled in
    query: str  #: what was looked up
    page: str  #: what the tool returned, cleaned
    prompt: str
    sample: Sample
    final: bool  #: answers the last sub-question of the plan
    answers: tuple[str, ...] = ()  #: to the earlier sub-questions
    residuals: tuple[float, ...] = ()  #: what the critic said of these

    @property
    def text(self) -> str:
        """The answer that this step gives."""
        return self.sample.text

    def trajectory(self) -> str:
        """All that the agent did up to here, as text for a critic."""
        known = "".join(f"Known {i}: {answer}\n" for i, answer in enumerate(self.answers, 1))
        return f"{known}Page: {self.page}\nQuestion: {self.question}\nAnswer: {self.text}"

    def fault(self) -> str:
        """Why this step adds nothing, or "".

        >>> step = Step("Where was Ada born?", "Ada", "", "", Sample("ADA.", 2, (-0.1, -0.1), True), final=True)
        >>> step.fault()
        'repeat'
        """
        text = normalize(self.text)
        if not self.sample.finished:
            return "unfinished"
        if not text:
            return "empty"
        return "repeat" if text in {normalize(known) for known in (*self.answers, self.query)} else ""


def clean(text: object, limit: int = PAGE_CHARACTERS) -> str:
    r"""Text from outside on one line, without control and format characters or the frame's own markers.

    >>> clean("London\n\nAnswer: Paris")
    'London Answer - Paris'
    """
    line = " ".join(str(text)[: 2 * limit].split())
    line = "".join(c for c in line if unicodedata.category(c)[0] != "C")
    return re.sub(r"\b(Page|Question|Answer|Budget)\s*:", r"\1 -", line, flags=re.IGNORECASE)[:limit]


def normalize(text: str) -> str:
    """For comparing answers: lower case, no articles, no punctuation, single spaces.

    >>> normalize("The River Orme!")
    'river orme'
    """
    words = re.sub(r"[^\w\s]", " ", text.lower()).split()
    return " ".join(word for word in words if word not in {"a", "an", "the"})


def check_plan(question: object, plan: Plan) -> tuple[str, ...]:
    """The plan as a tuple; without one the question is its own single step. Raises ValueError or TypeError.

    A question refers to no answer: its "#1", as of a song, becomes "number 1".

    >>> check_plan("Who is the mayor?", None)
    ('Who is the mayor?',)
    >>> check_plan("Who is the mayor?", ["Where was Ada born?", "Who is the mayor of #2?"])
    Traceback (most recent call last):
        ...
    ValueError: plan step 2 refers to #2; it can refer to #1 .. #1 only
    """
    if not isinstance(question, str):
        raise TypeError(f"question must be a string, got {type(question).__name__}")
    if not clean(question):
        raise ValueError("question must not be empty")
    if isinstance(plan, str):
        raise TypeError("plan must be a list of sub-questions, got one string")
    if plan is not None and not isinstance(plan, Sequence):
        raise TypeError(f"plan must be a list of sub-questions, got {plan!r}")
    steps = (REFERENCE.sub(r"number \1", question),) if plan is None else tuple(plan)
    if not steps:
        raise ValueError("plan must have at least one sub-question; leave it out to ask the question as it is")
    for number, step in enumerate(steps, 1):
        if not isinstance(step, str) or not clean(step):
            raise ValueError(f"plan step {number} must be a non-empty string, got {step!r}")
        for reference in REFERENCE.findall(step):
            if not 1 <= int(reference) < number:
                raise ValueError(f"plan step {number} refers to #{reference}; it can refer to #1 .. #{number - 1} only")
    return tuple(clean(step, 500) for step in steps)


def check_model(name: str, model: object) -> None:
    """Raise TypeError if `model` cannot be sampled from, or has no name for traces and rows."""
    for verb in ("sample", "count_tokens"):
        if not callable(getattr(model, verb, None)):
            raise TypeError(f"{name} must be a language model with a method {verb!r}, got {model!r}")
    if not isinstance(getattr(model, "name", None), str):
        raise TypeError(f"{name} must have an attribute 'name', a text, got {model!r}")


def draw(
    model: LanguageModel, prompt: str, k: int, ledger: Ledger, role: str, cap: int, aside: int = 0, **options: Any
) -> list[Sample]:
    """Up to `k` samples of at most `cap` tokens: as many as the budget surely pays for, `role` being charged.

    `aside` tokens a sample stay free for whoever judges it. When less than one full sample is left, one is drawn with
    what there is. Raises BudgetExceeded if not even one token is left. `options` go to `LanguageModel.sample`.

    >>> from bavt_minimal.budget import Budget
    >>> from bavt_minimal.models import ScriptedModel
    >>> model = ScriptedModel({}, default={"London": 1})
    >>> ledger = Ledger(Budget(tokens=20))
    >>> [sample.text for sample in draw(model, "Where?", 3, ledger, "generator", cap=8)]
    ['London', 'London']
    >>> ledger.spent["tokens"]
    4
    """
    prompt_tokens = model.count_tokens(prompt)
    left = ledger.left("tokens", role) - (prompt_tokens if ledger.charge_prompt else 0)
    cap = int(min(cap, left - aside))
    if cap < 1:
        raise BudgetExceeded("tokens", 1 + aside + prompt_tokens * ledger.charge_prompt, max(left, 0))
    while k * (cap + aside) > left:
        k -= 1
    with ledger.reserve(role, tokens=k * cap, prompt_tokens=prompt_tokens) as call:
        samples = model.sample(prompt, k, max_new_tokens=cap, **options)
        call.spend(tokens=sum(check_count("Sample.tokens", sample.tokens) for sample in samples))
    if len(samples) != k:
        raise ValueError(f"model was asked for {k} samples and returned {len(samples)}")
    finite = [tuple(float(x) if math.isfinite(x) else LOWEST for x in sample.logprobs) for sample in samples]
    return [replace(s, tokens=int(s.tokens), logprobs=x) for s, x in zip(samples, finite, strict=True)]


@dataclass
class Generator:
    r"""Proposes next steps with a model and a tool, through a ledger.

    A page is read once and then remembered by its query; `share_pages=False` reads (and pays) every time.
    Draw numbers count up for each prompt, so no sample is drawn twice in a search.

    >>> from bavt_minimal.models import ScriptedModel
    >>> model = ScriptedModel({"mayor of London?\nAnswer:": {"John Gray": 1}})
    >>> generator = Generator(model, tool=lambda query: f"{query} is a city.", examples="")
    >>> generator = generator.start(("Where was Ada born?", "Who is the mayor of #1?"))
    >>> generator.fill(["London"])
    ('Who is the mayor of London?', 'London')
    >>> ledger = Ledger()
    >>> generator.read(["London"], ledger)
    'London is a city.'
    >>> print(generator.prompt(["London"], ledger))
    Page: London is a city.
    Question: Who is the mayor of London?
    Answer:
    >>> generator.propose(["London"], generator.prompt(["London"], ledger), 1, ledger)[0].text
    'John Gray'
    """

    model: LanguageModel
    tool: Tool | None = None
    examples: str = EXAMPLES
    seed: int = 0
    temperature: float = 0.8
    top_k: int = 40
    max_new_tokens: int = 8
    layers: Sequence[int] = ()
    budget_hint: bool = False
    plan: tuple[str, ...] = field(default=(), init=False)
    pages: dict[str, str] = field(default_factory=dict, init=False)
    draws: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        check_model("model", self.model)
        if self.tool is not None and not callable(self.tool):
            raise TypeError(f"tool must be callable, got {self.tool!r}")
        if iscoroutinefunction(self.tool) or iscoroutinefunction(type(self.tool).__call__):
            remedy = "try lambda query: asyncio.run(tool(query)), in a notebook from a thread of its own"
            raise TypeError(f"tool must not be async, got {self.tool!r}; {remedy}")
        if not isinstance(self.examples, str):
            raise TypeError(f"examples must be a string, got {self.examples!r}")
        self.max_new_tokens = check_count("max_new_tokens", self.max_new_tokens, least=1)
        self.seed, self.top_k = check_count("seed", self.seed), check_count("top_k", self.top_k)
        self.temperature = check_range("temperature", self.temperature, 0.0, 1e3)

    def start(self, plan: tuple[str, ...]) -> Generator:
        """A fresh generator for one search: nothing read, nothing drawn."""
        fresh = replace(self)
        fresh.plan = plan
        return fresh

    def follow(self, plan: tuple[str, ...]) -> Generator:
        """The same generator on another plan: what was read and drawn stays shared."""
        other = copy(self)
        other.plan = plan
        return other

    def fill(self, answers: Sequence[str]) -> tuple[str, str]:
        """The next sub-question with its references filled in, and the query for the tool."""
        step = self.plan[len(answers)]
        references = [int(number) for number in REFERENCE.findall(step)]
        question = REFERENCE.sub(lambda match: answers[int(match[1]) - 1], step)
        return question, answers[references[-1] - 1] if references else question

    def needs_tool(self, answers: Sequence[str]) -> bool:
        """Whether the next step has to pay for a tool call."""
        return self.tool is not None and self.fill(answers)[1] not in self.pages

    def read(self, answers: Sequence[str], ledger: Ledger, role: str = "tool", again: bool = False) -> str:
        """The page for the next step: one tool call unless it was read before.

        Raises BudgetExceeded, TypeError if the tool does not return a text, or whatever the tool raises; the call is
        charged all the same.
        """
        query = self.fill(answers)[1]
        if self.tool is not None and (again or query not in self.pages):
            with ledger.reserve(role, tool_calls=1) as call:
                call.spend(tool_calls=1)
                page = self.tool(query)
                if not isinstance(page, str):  # its repr would be read as a page
                    raise TypeError(f"the tool must return a text, got {type(page).__name__}")
                self.pages[query] = clean(page)
        return self.pages.get(query, "")

    def prompt(self, answers: Sequence[str], ledger: Ledger) -> str:
        """Worked examples, then the frame of the next step."""
        question, query = self.fill(answers)
        page = f"Page: {self.pages[query]}\n" if query in self.pages else ""
        hint = ""
        if self.budget_hint:
            hint = f"Budget: {ledger.left('tokens'):.0f} tokens, {ledger.left('tool_calls'):.0f} lookups left\n"
        return f"{self.examples}{hint}{page}Question: {question}\nAnswer:"

    def propose(
        self,
        answers: Sequence[str],
        prompt: str,
        k: int,
        ledger: Ledger,
        role: str = "generator",
        judge_tokens: int = 0,
    ) -> list[Step]:
        """Up to `k` next steps: as many as the budget surely pays for, judging included.

        Raises BudgetExceeded if not even one token is left.
        """
        options: dict[str, Any] = {"first": self.draws[prompt], "seed": self.seed, "temperature": self.temperature}
        options |= {"top_k": self.top_k, "layers": self.layers}
        samples = draw(self.model, prompt, k, ledger, role, self.max_new_tokens, judge_tokens, **options)
        self.draws[prompt] += len(samples)
        return [self.step(answers, prompt, sample) for sample in samples]

    def step(self, answers: Sequence[str], prompt: str, sample: Sample) -> Step:
        """Wrap a sample. Its text becomes part of the next prompt, and all of it part of a trace, so it is cleaned."""
        question, query = self.fill(answers)
        sample = replace(sample, text=clean(sample.text, 200))
        final = len(answers) + 1 == len(self.plan)
        return Step(question, query, self.pages.get(query, ""), prompt, sample, final, tuple(answers))
