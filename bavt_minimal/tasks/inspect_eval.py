"""Inspect AI (UK AISI, `inspect_ai`): the search as a solver, and questions over pages as a task.

    inspect eval bavt_minimal/encyclopedia --model openai/gpt-4o-mini
    inspect eval bavt_minimal/questions -T data=hotpot.json -T format=hotpotqa -T limit=300 --model openai/gpt-4o-mini
    inspect eval bavt_minimal/questions -T data=mine.json --solver bavt_minimal/bavt -S budget_tokens=500 --model ...

The search runs in a worker thread of its own; what it asks of the model and the tool is done by Inspect's event loop.
So all calls are in Inspect's log, count against Inspect's limits, and keep to its retries and connections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import uuid4

try:
    import anyio
    import anyio.from_thread
    import anyio.to_thread
    from inspect_ai import Task, task
    from inspect_ai import dataset as datasets
    from inspect_ai.event import ModelEvent
    from inspect_ai.log import EvalSample, transcript
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ChatMessageTool,
        GenerateConfig,
        Logprob,
        Model,
        ModelOutput,
        TopLogprob,
        execute_tools,
        get_model,
    )
    from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver
    from inspect_ai.tool import Tool, ToolCall, ToolDef, tool
    from inspect_ai.util import LimitExceededError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'{__name__} needs Inspect AI ({error.name} is missing): pip install "bavt-minimal[inspect]"', name=error.name
    ) from error

from ..agent import DualRoleLLMAgent
from ..budget import Budget, Ledger
from ..checks import check_choice, check_count
from ..critic import ConstantCritic, Critic, LogProbCritic, PromptedCritic
from ..models.request import check_sampling, check_text, check_texts
from ..models.server import request_seed
from ..planner import PLAN_EXAMPLES, Planner
from ..search import BudgetAwareValueTreeSearch
from ..steps import Sample, Step
from ..trace import Event, Trace
from ..views.fold import Picture
from ..views.text import event_lines, render_text
from .data import Gold, World, load_data
from .encyclopedia import load_split
from .formats import load_questions
from .lookup import TITLE_WEIGHT, Lookup, pages_for

CRITICS = ("logprob", "prompted", "constant")
PLANS = ("given", "drawn", "none")
ALTERNATIVES = 20  # next tokens asked for, the most that most providers show
NO_BYTE = (*range(33), *range(127, 161), 173)  # GPT-2's byte-level tokens write these bytes as characters 256 and on


class InspectModel:
    """An Inspect model behind the verbs of `LanguageModel`. Its verbs may be called in a thread of Inspect's loop only.

    A prompt goes as one user message. `sample` asks for all its samples at once (`num_choices`); a provider that gives
    one is asked for the others at the same time, each with a seed of its own. `logprobs`: whether samples are to have
    log-probabilities. `limit` is the error of an Inspect limit once one was passed, after which nothing is asked.

    What the ledger is told are the output tokens of Inspect's own records (`ModelUsage`), reasoning tokens included;
    where a provider counts none, all that were allowed. They differ where a call failed for good, which is charged all
    that it was allowed, and for answers from Inspect's cache, which Inspect does not count.

    The provider "hf" counts every sample of a batch as long as the longest, and ignores the seeds of single calls.
    """

    def __init__(self, model: Model, logprobs: bool = False) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"model must be an Inspect model (see inspect_ai.model.get_model), got {model!r:.100}")
        self.model: Model = model
        self.name: str = str(model)
        self.logprobs: bool = logprobs
        self.limit: LimitExceededError | None = None
        self.gives_logprobs: bool = False  # whether any ever came
        self._one = False  # whether the provider gives one choice a call
        self._hf = type(model.api).__module__.endswith(".hf")
        self._tokenizer = getattr(model.api, "tokenizer", None)

    def __repr__(self) -> str:
        return f"InspectModel({self.name!r})"

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
        """Draw continuations number `first` .. `first + k - 1`; see `HFModel.sample`.

        The same again is the same only as far as the provider keeps to seeds. Once a limit of Inspect was passed the
        samples have no text; the tokens of the call that passed it are in the first.
        """
        check_sampling(prompt, k, first, seed, max_new_tokens, temperature, top_k, stop)
        if layers:
            raise NotImplementedError(f"{self.name} gives no hidden states, which heads and mixes read")
        if self.limit or not k * max_new_tokens:
            return [Sample("", 0, (), False) for _ in range(k)]
        options: dict[str, Any] = {"temperature": float(temperature), "top_k": top_k or None}
        if self._hf:  # it divides by the temperature, and otherwise takes what the model's own settings say
            options = {"temperature": float(temperature) or 1.0, "top_k": top_k if temperature else 1, "top_p": 1.0}
        if self.logprobs:  # "hf" shows any number of tokens, and what it shows first is not what it drew
            options |= {"logprobs": True, "top_logprobs": max(ALTERNATIVES, top_k) if self._hf else ALTERNATIVES}
        config = GenerateConfig(max_tokens=max_new_tokens, stop_seqs=list(stop) or None, **options)
        seeds = [request_seed(seed, prompt, number) for number in range(first, first + k)]
        outputs, spent = anyio.from_thread.run(self._ask, prompt, config, seeds)
        if self.limit:
            return [Sample("", spent if number == 0 else 0, (), False) for number in range(k)]
        samples: list[Sample] = []
        for output in outputs:
            whole = self._tokens(output, max_new_tokens * len(output.choices))
            for number, choice in enumerate(output.choices):
                part = whole // len(output.choices) + (number < whole % len(output.choices))
                samples.append(self._read(choice, part, max_new_tokens, stop))
        return samples

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        """Log-probability of continuations of one token, such as the replies that prompted critics look for.

        One token is generated, and the likeliest ones in its place are compared with the continuations: exactly, or if
        none is among them, without case and white space. One that is not there gets the least of theirs, the most that
        it can have. Raises NotImplementedError if the provider shows no alternatives.
        """
        check_text("prompt", prompt)
        texts = check_texts("continuations", continuations)
        if self.limit:
            raise self.limit
        config = GenerateConfig(max_tokens=1, temperature=1.0, logprobs=True, top_logprobs=ALTERNATIVES)
        outputs, _ = anyio.from_thread.run(self._ask, prompt, config, [request_seed(0, prompt, 0)])
        if self.limit:
            raise self.limit
        self._tokens(outputs[0], 1)
        choices = outputs[0].choices
        shown = choices[0].logprobs.content[:1] if choices and choices[0].logprobs else []
        if not shown or not shown[0].top_logprobs:
            raise NotImplementedError(
                f"{self.name} does not show how likely other tokens were (top_logprobs), which score and"
                " critic='prompted' need; use critic='constant', or critic='logprob' if it gives any log-probabilities"
            )
        found = [(_bytes(each).decode(errors="replace"), each.logprob) for each in shown[0].top_logprobs]
        if not {text for text, _ in found} & set(texts):
            found = [(text.strip().casefold(), logprob) for text, logprob in found]
            texts = [text.strip().casefold() for text in texts]
        least = min(logprob for _, logprob in found)
        sums = [math.fsum(math.exp(logprob) for said, logprob in found if said == text) for text in texts]
        return [(math.log(total) if total else least,) for total in sums]

    def encode(self, texts: Sequence[str], layers: Sequence[int]) -> list[dict[int, Any]]:
        """Raise NotImplementedError: Inspect's models give no hidden states."""
        raise NotImplementedError(f"{self.name} gives no hidden states, which heads and mixes read")

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`: exact where the provider has its tokenizer here ("hf"), else the most there can be.

        That is the bytes of UTF-8 and a start token. Inspect's own estimate may be too low, and may need the network.
        """
        check_text("text", text)
        if self._tokenizer is not None:
            return len(self._tokenizer(text, add_special_tokens=False).input_ids)
        return len(text.encode()) + 1

    async def _ask(self, prompt: str, config: GenerateConfig, seeds: list[int]) -> tuple[list[ModelOutput], int]:
        """Outputs with as many choices as there are seeds, and the output tokens that Inspect counts for them."""
        start = len(transcript().events)
        outputs: dict[int, ModelOutput] = {}
        failures: list[Exception] = []

        async def ask(number: int, count: int) -> None:
            more = GenerateConfig(seed=seeds[number], num_choices=count if count > 1 else None)
            try:
                outputs[number] = await self.model.generate(prompt, config=config.merge(more))
            except LimitExceededError as error:  # the others go on: what they use is counted
                self.limit = error
            except Exception as error:
                failures.append(error)

        known = 0
        if len(seeds) > 1 and not self._one:
            await ask(0, len(seeds))
            known = len(outputs[0].choices) if outputs else len(seeds)
            self._one = known == 1
            if known not in (1, len(seeds)):
                raise RuntimeError(f"{self.name} was asked for {len(seeds)} choices and gave {known}")
        async with anyio.create_task_group() as group:
            for number in range(known, len(seeds)):
                group.start_soon(ask, number, 1)
        if failures and not self.limit:
            raise failures[0]
        # The output of a call that passed a limit is lost, but not Inspect's record of it.
        events = [e for e in transcript().events[start:] if isinstance(e, ModelEvent) and e.cache != "read"]
        used = sum(e.output.usage.output_tokens for e in events if e.output.usage and not e.error)
        return [outputs[number] for number in sorted(outputs)], used

    def _tokens(self, output: ModelOutput, most: int) -> int:
        """Output tokens of a call that was allowed `most`. Raises RuntimeError if it made more."""
        tokens = output.usage.output_tokens if output.usage else most
        if tokens > most or not output.choices:
            raise RuntimeError(
                f"{self.name} was asked for at most {most} tokens and counts {tokens} for {output.completion!r:.100}"
                f"{f' ({output.error})' if output.error else ''}: no budget can be kept with it. If it reasons"
                " first, switch that off or raise max_new_tokens"
            )
        return tokens

    def _read(self, choice: ChatCompletionChoice, tokens: int, most: int, stop: Sequence[str]) -> Sample:
        """A sample from one choice."""
        text = choice.message.text
        logprobs: tuple[float, ...] = ()
        if choice.logprobs is not None:
            self.gives_logprobs = True
            logprobs = drawn_logprobs(choice.logprobs.content, text)
        places = [text.find(mark) for mark in stop if mark in text]
        finished = bool(places) or choice.stop_reason == "stop"
        if not finished and choice.stop_reason == "unknown":  # "hf" never says why it stopped
            finished = (self.count_tokens(text) if self._tokenizer is not None else tokens) < most
        text = text[: min(places)] if places else text
        return Sample(text.rstrip("\ufffd").strip(), tokens, logprobs, finished)


def drawn_logprobs(rows: Sequence[Logprob], text: str) -> tuple[float, ...]:
    """Log-probabilities of the tokens that spell `text`; () if none of the tokens shown do.

    Of each row its own token is tried first, then the alternatives: in place of the token that was drawn, the provider
    "hf" reports the likeliest one. What comes after the text, the token that ended it, is left out.
    """
    rest = text.lstrip().encode()
    spelled = _spell(rows, rest, 0)
    return () if spelled is None else tuple(spelled)


def _spell(rows: Sequence[Logprob], rest: bytes, at: int) -> list[float] | None:
    if not rest:
        return []
    if at == len(rows):
        return None
    for each in (rows[at], *(rows[at].top_logprobs or ())):
        said = _bytes(each) if at else _bytes(each).lstrip()
        if said and rest.startswith(said) and (more := _spell(rows, rest[len(said) :], at + 1)) is not None:
            return [float(each.logprob), *more]
    return None


def _bytes(row: Logprob | TopLogprob) -> bytes:
    """What a token says. Providers give its bytes, or the characters that stand for them, or its text."""
    if row.bytes is not None and max(row.bytes, default=0) < 256 + len(NO_BYTE):
        return bytes(code if code < 256 else NO_BYTE[code - 256] for code in row.bytes)
    return row.token.replace("\u2581", " ").encode()  # SentencePiece's blank


@dataclass(frozen=True)
class _LogProb(LogProbCritic):
    """The log-probability critic, which would take it for doubt if there are none."""

    model: InspectModel | None = None

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        if self.model is not None and not self.model.gives_logprobs:
            raise ValueError(
                f"{self.model.name} gives no log-probabilities, which critic='logprob' needs:"
                " use critic='constant', or a provider that gives them"
            )
        return super().__call__(steps, ledger)


@solver
def bavt(
    budget_tokens: int | None = 64,
    tool_calls: int | None = 16,
    critic: str | Critic = "logprob",
    plan: str = "given",
    tool: Tool | None = None,
    max_depth: int = 10,
    **options: Any,
) -> Solver:
    """Budget-Aware Value Tree search with the model under evaluation.

    `budget_tokens`: generated tokens of all roles, None for no limit; `tool_calls` likewise. `critic`: "logprob",
    "prompted", "constant", or a critic of your own. `plan`: "given" takes the sample's metadata["plan"] if there is
    one, "drawn" lets the model draw plans, "none" asks the question as its own single step. `tool`: an Inspect tool
    with one text parameter; None looks things up in the sample's metadata["pages"] (title: text) if there are any.
    `options` go to `BudgetAwareValueTreeSearch`: num_candidates, seed, temperature, top_k, max_new_tokens, ...

    The answer is the state's output. `metadata["bavt"]` says what it is worth, why the search stopped and what was
    spent, `store` holds the whole trace (see `trace_of`), and the transcript shows the search as it goes and the tree.
    When a limit of Inspect is passed the best answer so far is given.
    """
    budget = Budget(budget_tokens, tool_calls)
    check_count("max_depth", max_depth, least=1)
    check_choice("plan", plan, PLANS)
    if not callable(critic):
        check_choice("critic", critic, CRITICS)
    own = None if tool is None else _definition(tool)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = InspectModel(get_model(), logprobs=critic != "constant")
        judges: dict[object, Callable[[], Critic]] = {
            "logprob": lambda: _LogProb(model=model),
            "prompted": lambda: PromptedCritic(model),
            "constant": ConstantCritic,
        }
        judge = critic if callable(critic) else judges[critic]()
        find = own
        if own is None and state.metadata.get("pages"):
            find = _definition(lookup(state.metadata["pages"], state.metadata.get("title_weight", TITLE_WEIGHT)))
        search = BudgetAwareValueTreeSearch(
            model,
            judge,
            budget,
            partial(_call, find, model) if find else None,
            planner=Planner(model, PLAN_EXAMPLES) if plan == "drawn" else None,
            **options,
        )
        steps = state.metadata.get("plan") or None if plan == "given" else None

        def run() -> None:
            picture = Picture()
            events: Any = search.run(state.input_text, max_depth, steps)
            for event in events:
                picture.add(event)
                if lines := event_lines(event, picture):
                    anyio.from_thread.run_sync(_show, "\n".join(lines))
                if model.limit:
                    events.throw(model.limit)  # the search stops as it does for any error, with what it has

        try:
            # Of its own, because a search waits for calls that may need one of the loop's shared threads.
            await anyio.to_thread.run_sync(run, limiter=anyio.CapacityLimiter(1))
        finally:
            if hasattr(search, "result"):
                _write(state, search)
        return state

    return solve


def _write(state: TaskState, search: BudgetAwareValueTreeSearch) -> None:
    """Leave the answer and the whole search in the sample's state and transcript."""
    result = search.result
    state.output = ModelOutput.from_content(str(state.model), result.answer)
    told: dict[str, Any] = {name: getattr(result, name) for name in ("answer", "value", "reason", "forced")}
    told |= {"plan": list(result.plan), "spent": dict(result.ledger.spent)}
    told |= {"by_role": {role: dict(used) for role, used in result.ledger.by_role().items()}}
    state.metadata["bavt"] = told
    trace = result.trace
    state.store.set("bavt", {"header": trace.header, "events": [asdict(event) for event in trace.events]})
    _show(render_text(trace))
    state.messages.append(state.output.message)  # last, because it can pass a limit of messages


def _show(text: str) -> None:
    """An event in the log viewer."""
    transcript().info(f"```text\n{text.replace('```', '` ` `')}\n```", source="bavt")


def trace_of(sample: EvalSample) -> Trace:
    """The search's trace in a sample of a log, as from `Trace.load`. Raises ValueError if `bavt` has not run there.

    Read the log with `read_eval_log(file, resolve_attachments=True)`: Inspect stores longer texts apart.
    """
    stored = sample.store.get("bavt")
    if stored is None:
        raise ValueError(f"sample {sample.id!r} has no trace: the solver bavt did not get to its end there")
    return Trace(stored["header"], [Event(**event) for event in stored["events"]])


@tool
def lookup(pages: Mapping[str, str], title_weight: float = TITLE_WEIGHT) -> Tool:
    """The lookup over `pages` (title: text) as an Inspect tool."""
    find = Lookup(pages, title_weight)

    async def execute(query: str) -> str:
        """Find the page for a title or a question.

        Args:
            query: A title, or words to look for.
        """
        return find(query)

    return execute


def _definition(tool: Tool) -> ToolDef:
    """A tool and what Inspect knows of it. Raises TypeError if it does not take one text."""
    definition = tool if isinstance(tool, ToolDef) else ToolDef(tool)
    needed = definition.parameters.required
    if len(needed) != 1 or definition.parameters.properties[needed[0]].type != "string":
        raise TypeError(f"tool must take one text, the query; {definition.name} takes {', '.join(needed) or 'nothing'}")
    return definition


def _call(tool: ToolDef, model: InspectModel, query: str) -> str:
    """Call a tool as Inspect does for a model: with approval, in the transcript. Raises what it raises."""
    arguments = {tool.parameters.required[0]: query}
    call = ToolCall(id=f"bavt_{uuid4().hex[:12]}", function=tool.name, arguments=arguments)
    asked = ChatMessageAssistant(content="", tool_calls=[call])
    try:
        (answer, *_), _ = anyio.from_thread.run(partial(execute_tools, [asked], [tool]))
    except LimitExceededError as error:
        model.limit = error
        raise
    if isinstance(answer, ChatMessageTool) and answer.error is not None:
        raise RuntimeError(answer.error.message)
    return answer.text


@scorer(metrics=[accuracy(), stderr()])
def exact() -> Scorer:
    """Right if the answer is the gold answer up to case, articles and punctuation."""

    async def score(state: TaskState, target: Target) -> Score:
        answer = state.output.completion
        right = any(DualRoleLLMAgent.evaluate(answer, Gold(gold)) for gold in target)
        return Score(value=CORRECT if right else INCORRECT, answer=answer)

    return score


def to_dataset(worlds: Iterable[tuple[World, Mapping[str, Gold]]], pages: bool = True) -> datasets.MemoryDataset:
    """The questions that have an answer, as Inspect's samples, with their plan and pages in the metadata.

    Each sample carries its pages into the log: with many, leave them out with `pages=False` and give `bavt` a tool.
    Raises ValueError if no question has an answer.
    """
    samples = [
        datasets.Sample(
            input=question.text,
            target=[gold[question.id].answer, *gold[question.id].aliases],
            id=question.id,
            metadata={"plan": list(question.plan)} | (_pages(world, question.id) if pages else {}),
        )
        for world, gold in worlds
        for question in world.questions
        if question.id in gold
    ]
    if not samples:
        raise ValueError('no question has an answer: give some an "answer", which the scorer compares with')
    return datasets.MemoryDataset(samples, name="bavt_minimal")


def _pages(world: World, question: str) -> dict[str, Any]:
    """What the lookup of a question needs, as `tool_for` has it."""
    own, title_weight = pages_for(world, question)
    return {"pages": dict(own)} | ({"title_weight": title_weight} if title_weight != TITLE_WEIGHT else {})


@task
def encyclopedia(split: str = "test", worlds: int = 10, questions_per_world: int = 3) -> Task:
    """Questions of 2 to 4 hops about the first `worlds` fictional encyclopedias of a split."""
    check_count("worlds", worlds, least=1)
    drawn = (world for world, _ in zip(load_split(split, questions_per_world), range(worlds), strict=False))
    return Task(dataset=to_dataset(drawn), solver=bavt(), scorer=exact())


@task
def questions(data: str, format: str | None = None, limit: int | None = None) -> Task:
    """The questions that have an answer of a JSON file (see `tasks.data`), or of one in a format of `tasks.formats`.

    `limit`: only the first so many are read, of a file with a format.
    """
    return Task(
        dataset=to_dataset([load_questions(data, format, limit) if format else load_data(data)]),
        solver=bavt(),
        scorer=exact(),
    )
