"""The search inside Inspect AI: with its mock model against the same search outside, and with the real small model."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason='Inspect AI is not installed: pip install "bavt-minimal[inspect]"')

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample as Row
from inspect_ai.event import InfoEvent, ModelEvent, ToolEvent
from inspect_ai.log import EvalSample, read_eval_log
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    GenerateConfig,
    Logprob,
    Logprobs,
    Model,
    ModelOutput,
    ModelUsage,
    TopLogprob,
    get_model,
)
from inspect_ai.tool import Tool, ToolError, tool
from inspect_ai.util import TokenLimit

from bavt_minimal import (
    PLAN_EXAMPLES,
    Budget,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    LogProbCritic,
    Planner,
    PromptedCritic,
    SearchResult,
    greedy_chain,
)
from bavt_minimal.models import ScriptedModel, fetch_default
from bavt_minimal.models.hf import HFModel
from bavt_minimal.models.server import request_seed
from bavt_minimal.steps import Sample
from bavt_minimal.tasks import Lookup, World, builtin, load_split, save_data
from bavt_minimal.tasks.data import Gold, Question
from bavt_minimal.tasks.formats import load_questions
from bavt_minimal.tasks.inspect_eval import (
    InspectModel,
    bavt,
    drawn_logprobs,
    encyclopedia,
    exact,
    questions,
    to_dataset,
    trace_of,
)

PLAN = ["Where was Ada born?", "Who is the mayor of #1?"]
QUESTION = "Who is the mayor of the birthplace of Ada?"
PAGES = {"Ada": "Ada was born in Lund.", "Lund": "The mayor of Lund is Ole Berg.", "Graz": "Graz is a city."}
TABLE = {
    "Where was Ada born?\nAnswer:": {
        " Lund": 6,
        " Graz am See": 2,
        " ": 1,
        " a long name of many words that is cut": 1,
    },
    "mayor of Lund?\nAnswer:": {" Ole Berg": 2, " Eva": 1, " Ann of Lund": 1},
    "Answer:": {" nobody": 1, " Bo": 1},
    "Plan:": {"\n1. Where was Ada born?\n2. Who is the mayor of #1?\n2 lookups": 2, "\n1. Who?\n1 lookups": 1},
    "Reply:": {" yes": 3, " no": 1},
}
SCRIPT = ScriptedModel(TABLE)
RAW = "{{ messages[0].content }}"  # a chat template that leaves the prompt as it is


class Direct(ScriptedModel):
    """What the mock provider does, outside Inspect: its seeds, its estimate of a prompt, no token for a stop."""

    def __init__(self, choices: bool, logprobs: bool = True) -> None:
        super().__init__(TABLE)
        self.choices, self.logprobs = choices, logprobs

    def sample(self, prompt: str, k: int, *, first: int = 0, seed: int = 0, **options: Any) -> list[Sample]:
        seeds = [request_seed(seed, prompt, number) for number in range(first, first + k)]
        if self.choices:
            samples = super().sample(prompt, k, seed=seeds[0], **options)
            total = sum(sample.tokens for sample in samples)  # all that such a provider tells
            samples = [replace(s, tokens=total // k + (i < total % k)) for i, s in enumerate(samples)]
        else:
            samples = [super(Direct, self).sample(prompt, 1, seed=each, **options)[0] for each in seeds]
        return [replace(s, logprobs=s.logprobs[: len(s.text.split()) * self.logprobs]) for s in samples]

    def count_tokens(self, text: str) -> int:
        return len(text.encode()) + 1


def provider(choices: bool = False, logprobs: bool = True, tokens: int = 0) -> Model:
    """Inspect's mock model, following the script. `choices`: it takes num_choices; `tokens`: it makes so many more."""

    def said(number: int, word: str, logprob: float, others: dict[str, float]) -> Logprob:
        top = [TopLogprob(token=text, logprob=math.log(chance)) for text, chance in others.items()]
        return Logprob(token=" " * (number > 0) + word, logprob=logprob, top_logprobs=top)

    def outputs(input: Any, tools: Any, tool_choice: Any, config: GenerateConfig) -> ModelOutput:
        prompt, stop = input[-1].text, config.stop_seqs or ["\n"]
        count = config.num_choices or 1 if choices else 1
        options: dict[str, Any] = {"seed": config.seed, "max_new_tokens": config.max_tokens, "stop": stop}
        options |= {"temperature": config.temperature, "top_k": config.top_k or 0}
        found = []
        for sample in SCRIPT.sample(prompt, count, **options):
            others = SCRIPT.probabilities(prompt) if prompt.endswith("Reply:") else {}
            words = sample.text.split()
            rows = [said(i, *pair, others) for i, pair in enumerate(zip(words, sample.logprobs, strict=False))]
            if words and sample.text != " ".join(words):  # a plan has several lines
                rows = [Logprob(token=sample.text, logprob=sum(sample.logprobs))]
            found.append(
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=f" {sample.text}"),
                    stop_reason="stop" if sample.finished else "max_tokens",
                    logprobs=Logprobs(content=rows) if logprobs and config.logprobs else None,
                )
            )
            usage.output_tokens += sample.tokens + tokens
        output = ModelOutput(model="mock", choices=found, usage=ModelUsage(input_tokens=len(prompt.split())))
        assert output.usage is not None
        output.usage.output_tokens, usage.output_tokens = usage.output_tokens, 0
        output.usage.total_tokens = output.usage.input_tokens + output.usage.output_tokens
        return output

    usage = ModelUsage()
    return get_model("mockllm/model", custom_outputs=outputs, memoize=False)


def run(tmp_path: Path, model: Model, solver: Any, row: Row | None = None, **options: Any) -> EvalSample:
    """One sample of one evaluation, as it is read from the log's file."""
    row = row or Row(input=QUESTION, target="ole berg", metadata={"plan": PLAN, "pages": PAGES})
    task = Task(dataset=[row], solver=solver, scorer=exact())
    (log,) = eval(task, model=model, log_dir=str(tmp_path), display="none", log_level="error", **options)
    (sample,) = read_eval_log(log.location, resolve_attachments=True).samples or []
    return sample


def counted(sample: EvalSample) -> int:
    """Output tokens by Inspect's own account of a sample."""
    return sum(usage.output_tokens for usage in sample.model_usage.values())


def search(direct: Direct, critic: Any, budget: Budget, planner: bool = False, **options: Any) -> SearchResult:
    plan = None if planner else PLAN
    drawn = Planner(direct, PLAN_EXAMPLES) if planner else None
    tool = Lookup(PAGES)
    return BudgetAwareValueTreeSearch(direct, critic, budget, tool, planner=drawn, **options).search(
        QUESTION, plan=plan
    )


# The same search


@pytest.mark.parametrize("choices", [False, True])
@pytest.mark.parametrize("critic, plan", [("logprob", "given"), ("prompted", "given"), ("constant", "drawn")])
def test_same_search_as_outside(tmp_path: Path, choices: bool, critic: str, plan: str) -> None:
    sample = run(tmp_path, provider(choices), bavt(90, 12, critic, plan, seed=3, stop_value=2.0))
    direct = Direct(choices, logprobs=critic != "constant")
    judges = {"logprob": LogProbCritic(), "prompted": PromptedCritic(direct), "constant": ConstantCritic()}
    result = search(direct, judges[critic], Budget(90, 12), plan == "drawn", seed=3, stop_value=2.0)
    trace = trace_of(sample)
    found = [asdict(event) for event in trace.events[1:]]  # the first holds the model's name
    assert found == json.loads(json.dumps([asdict(event) for event in result.trace.events[1:]]))
    told = sample.metadata["bavt"]
    assert (told["answer"], told["reason"], told["plan"]) == (result.answer, result.reason, list(result.plan))
    assert told["spent"] == dict(result.ledger.spent)
    assert sample.output.completion == sample.messages[-1].text == result.answer
    assert sample.scores is not None
    assert sample.scores["exact"].value == ("C" if result.answer == "Ole Berg" else "I")
    # Inspect's account and ours
    calls = [event for event in sample.events if isinstance(event, ModelEvent)]
    assert counted(sample) == told["spent"]["tokens"] > 60
    assert sum(e.output.usage.output_tokens for e in calls if e.output.usage) == told["spent"]["tokens"]
    assert len([event for event in sample.events if isinstance(event, ToolEvent)]) == told["spent"]["tool_calls"] > 1
    assert any(event.config.num_choices for event in calls) and all(event.config.seed for event in calls)
    shown = [str(event.data) for event in sample.events if isinstance(event, InfoEvent)]
    assert f"answer:    {result.answer}" in shown[-1] and len(shown) > 10


def test_num_choices_is_asked_for_once_where_it_is_not_taken(tmp_path: Path) -> None:
    sample = run(tmp_path, provider(choices=False), bavt(60, 12))
    asked = [event.config.num_choices for event in sample.events if isinstance(event, ModelEvent)]
    assert asked[0] == 3 and set(asked[1:]) == {None}
    sample = run(tmp_path, provider(choices=True), bavt(60, 12))
    assert {event.config.num_choices for event in sample.events if isinstance(event, ModelEvent)} <= {3, 2, None}
    assert counted(sample) == sample.metadata["bavt"]["spent"]["tokens"]


# Limits of Inspect


@pytest.mark.parametrize("choices", [False, True])
def test_token_limit_midway_ends_with_the_best_so_far_and_an_exact_ledger(tmp_path: Path, choices: bool) -> None:
    options: dict[str, Any] = {"seed": 3, "stop_value": 2.0}
    whole = search(Direct(choices), LogProbCritic(), Budget(60, 12), **options)
    total = whole.ledger.spent["tokens"]
    answers = set()
    for limit in range(1, total, 13):
        model = provider(choices)
        sample = run(tmp_path, model, bavt(60, 12, **options), token_limit=TokenLimit(tokens=limit, type="output"))
        told, trace = sample.metadata["bavt"], trace_of(sample)
        assert sample.limit is not None and sample.limit.type == "token" and sample.error is None
        assert told["spent"]["tokens"] == counted(sample) >= limit
        assert told["reason"] == "error" and "token limit" in trace.events[-1].data["error"]
        assert sample.output.completion == told["answer"] and sample.scores
        same = [asdict(e) for e in whole.trace.events[1 : len(trace.events) - 2]]
        assert [asdict(event) for event in trace.events[1:-2]] == json.loads(json.dumps(same))
        answers.add(told["answer"])
    assert "" in answers and "Ole Berg" in answers


def test_message_limit_before_the_first_call_and_turn_limit_midway(tmp_path: Path) -> None:
    sample = run(tmp_path, provider(), bavt(60, 12), message_limit=1)
    assert sample.limit is not None and sample.limit.type == "message"
    assert sample.metadata["bavt"]["spent"] == {"tokens": 0, "tool_calls": 1} and counted(sample) == 0
    sample = run(tmp_path, provider(), bavt(60, 12), turn_limit=2)
    assert sample.limit is not None and sample.limit.type == "turn"
    assert sample.metadata["bavt"]["spent"]["tokens"] == counted(sample) > 0


def test_limit_during_a_prompted_judgment(tmp_path: Path) -> None:
    # the first call draws, the judgments that follow pass the limit; one that is refused is charged its token
    first = run(tmp_path, provider(True), bavt(60, 12, "prompted"))
    drawn = next(e.output.usage.output_tokens for e in first.events if isinstance(e, ModelEvent) and e.output.usage)
    for more, refused in ((0, 1), (1, 1)):
        limit = TokenLimit(tokens=drawn + more, type="output")
        sample = run(tmp_path, provider(True), bavt(60, 12, "prompted"), token_limit=limit)
        assert sample.limit is not None and sample.limit.type == "token"
        assert sample.metadata["bavt"]["spent"]["tokens"] == counted(sample) + refused == drawn + more + 1


# Providers that cannot


def test_no_logprobs_is_a_clear_error_and_constant_works(tmp_path: Path) -> None:
    sample = run(tmp_path, provider(logprobs=False), bavt(60, 12), fail_on_error=False)
    assert sample.error is not None and "mockllm/model gives no log-probabilities" in sample.error.message
    assert sample.metadata["bavt"]["spent"]["tokens"] == counted(sample) > 0
    sample = run(tmp_path, provider(logprobs=False), bavt(60, 12, "prompted"), fail_on_error=False)
    assert sample.error is not None and "critic='prompted' need" in sample.error.message
    sample = run(tmp_path, provider(logprobs=False), bavt(60, 12, "constant"))
    assert sample.error is None and sample.output.completion


def test_provider_that_makes_too_many_tokens_is_refused(tmp_path: Path) -> None:
    sample = run(tmp_path, provider(tokens=9), bavt(60, 12), fail_on_error=False)
    assert sample.error is not None and "no budget can be kept with it" in sample.error.message
    assert sample.metadata["bavt"]["spent"]["tokens"] <= 60


def row(token: str, *others: str, bytes: list[int] | None = None) -> Logprob:
    """A row of log-probabilities: -1 for the first token, -2, -3 ... for the alternatives."""
    top = [TopLogprob(token=text, logprob=-2.0 - i) for i, text in enumerate(others)]
    return Logprob(token=token, logprob=-1.0, bytes=bytes, top_logprobs=top)


def hf_row(token: str, *others: str) -> Logprob:
    """The same as "hf" gives it: "bytes" are the characters of the tokenizer's own alphabet."""
    made = row(token, *others)
    for each in (made, *(made.top_logprobs or ())):
        each.bytes = [ord(letter) for letter in each.token]
    return made


@pytest.mark.parametrize(
    "rows, text, expected",
    [
        ([row(" Lund"), row("\n")], " Lund", (-1.0,)),  # the stop was left out of the text
        ([row(" Lund"), row("\n")], "Lund\n", (-1.0, -1.0)),
        ([hf_row("ĠGraz", "ĠLund"), hf_row("Ċ")], " Lund\n", (-2.0, -1.0)),  # "hf": the likeliest was not drawn
        (
            [hf_row("ĠL", "ĠLund"), hf_row("Ċ", "und"), hf_row("Ċ")],
            " Lund\n",
            (-1.0, -2.0, -1.0),
        ),  # found by going back
        ([hf_row("ĠLund"), hf_row("Ċ")], " Graz", ()),
        ([], "Graz", ()),
        ([hf_row("\u2581Lund"), hf_row("\u2581am")], "Lund am", (-1.0, -1.0)),  # SentencePiece
        ([row("Ã", bytes=[0xC3]), row("¶", bytes=[0xB6]), row("l")], "öl", (-1.0, -1.0, -1.0)),  # half a character
        ([row("\\xc3", bytes=[0xC3]), row("\\xb6", bytes=[0xB6])], "ö", (-1.0, -1.0)),
    ],
)
def test_logprobs_of_what_was_drawn(rows: list[Logprob], text: str, expected: tuple[float, ...]) -> None:
    assert drawn_logprobs(rows, text) == expected


# Tools


@tool
def almanac(fails: bool = False) -> Tool:
    async def execute(topic: str, detail: int = 1) -> str:
        """Look up.

        Args:
            topic: What about.
            detail: How much.
        """
        if fails:
            raise ToolError("closed today")
        return PAGES.get(topic, PAGES["Ada"])

    return execute


@tool
def two_texts() -> Tool:
    async def execute(one: str, two: str) -> str:
        """Look up.

        Args:
            one: A text.
            two: A text.
        """
        return one + two

    return execute


def test_tool_of_the_user(tmp_path: Path) -> None:
    bare = Row(input=QUESTION, target="Ole Berg", metadata={"plan": PLAN})
    sample = run(tmp_path, provider(), bavt(90, 12, tool=almanac()), bare)
    calls = [event for event in sample.events if isinstance(event, ToolEvent)]
    assert calls[0].function == "almanac" and calls[0].arguments == {"topic": PLAN[0]}
    assert len(calls) == sample.metadata["bavt"]["spent"]["tool_calls"]
    assert sample.output.completion == "Ole Berg"
    sample = run(tmp_path, provider(), bavt(90, 3, tool=almanac(fails=True)), bare)
    failed = [event.data["why"] for event in trace_of(sample).events if event.kind == "pruned"]
    assert any("closed today" in why for why in failed)
    assert sample.error is None and sample.metadata["bavt"]["spent"]["tool_calls"] == 3
    with pytest.raises(TypeError, match="tool must take one text, the query; two_texts takes one, two"):
        bavt(tool=two_texts())


# Tasks


def test_bad_settings_are_refused_before_a_sample_runs() -> None:
    for settings, words in (
        ({"critic": "oracle"}, "critic must be one of logprob, prompted, constant, got 'oracle'"),
        ({"plan": "mine"}, "plan must be one of given, drawn, none, got 'mine'"),
        ({"budget_tokens": -1}, "tokens must be at least 0, got -1"),
        ({"max_depth": 0}, "max_depth must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            bavt(**settings)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model must be an Inspect model"):
        InspectModel("openai/gpt-4o-mini")  # type: ignore[arg-type]


def test_encyclopedia_has_the_splits_questions() -> None:
    rows = encyclopedia("dev", worlds=2, questions_per_world=2).dataset
    expected = [
        (q, g[q.id], w)
        for w, g in (pair for pair, _ in zip(load_split("dev", 2), range(2), strict=False))
        for q in w.questions
    ]
    assert len(rows) == len(expected) == 4
    for found, (question, gold, world) in zip(rows, expected, strict=True):
        assert (found.id, found.input, found.target) == (question.id, question.text, [gold.answer])
        assert found.metadata == {"plan": list(question.plan), "pages": dict(world.pages)}


def test_questions_of_a_file_and_the_score(tmp_path: Path) -> None:
    world = World(
        PAGES, (Question("a", QUESTION, tuple(PLAN)), Question("b", QUESTION, tuple(PLAN)), Question("c", "?"))
    )
    save_data(tmp_path / "mine.json", world, {"a": Gold("the OLE berg!"), "b": Gold("Eva Berg")})
    (log,) = eval(questions(str(tmp_path / "mine.json")), model=provider(), log_dir=str(tmp_path), display="none")
    assert log.results is not None and log.results.scores[0].metrics["accuracy"].value == 0.5
    assert [sample.id for sample in log.samples or []] == ["a", "b"]
    with pytest.raises(ValueError, match='give some an "answer"'):
        to_dataset([(world, {})])
    assert "pages" not in (to_dataset([(world, {"a": Gold("Eva")})], pages=False)[0].metadata or {})


def test_a_published_file_keeps_each_questions_pages_and_aliases() -> None:
    path = Path(__file__).parent / "data_formats" / "musique.jsonl"
    world, golds = load_questions(path, "musique")
    rows = questions(str(path), format="musique").dataset
    assert len(rows) == len(golds) > 1
    for row in rows:
        assert row.target == [golds[row.id].answer, *golds[row.id].aliases]
        assert row.metadata["pages"] == world.own_pages[row.id] and row.metadata["title_weight"] == 0.0
    assert any(golds[row.id].aliases for row in rows)
    assert len(questions(str(path), format="musique", limit=1).dataset) == 1


# The real model


@pytest.fixture(autouse=True, scope="module")
def logging_as_it_was() -> Iterator[None]:
    """Inspect raises the level of all loggers and takes what a task's package logs, where other tests look for it."""
    root, ours = logging.getLogger(), logging.getLogger("bavt_minimal")
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    ours.setLevel(logging.NOTSET)
    ours.propagate = True
    ours.handlers.clear()


@pytest.fixture(scope="module")
def hf() -> Iterator[Model]:
    options: dict[str, Any] = {"model_path": str(fetch_default()), "chat_template": RAW, "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        # Inspect looks the model's name up on the hub, and tries again for a minute where there is none.
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        # The provider waits two seconds for a batch that is not full: a search asks for three at once.
        yield get_model("hf/smollm2", config=GenerateConfig(max_connections=3, seed=0), **options)


def test_real_model_greedy_is_ours(tmp_path: Path, hf: Model, real_model: HFModel) -> None:
    world, question = builtin()
    row = Row(input=question.text, target="?", metadata={"plan": list(question.plan), "pages": dict(world.pages)})
    chain = greedy_chain(real_model, Budget(64, 16), Lookup(world.pages))
    expected = chain.search(question.text, plan=question.plan)
    solver = bavt(64, 16, num_candidates=1, temperature=0.0, max_widen=1)
    sample = run(tmp_path, hf, solver, row, max_connections=1)
    found, ours = (
        [event.data["steps"][0] for event in trace.events if event.kind == "expanded"]
        for trace in (trace_of(sample), expected.trace)
    )
    assert [one[:2] + one[3:] for one in found] == [one[:2] + one[3:] for one in ours]  # texts, tokens, finished
    for one, other in zip(found, ours, strict=True):
        assert one[2] == pytest.approx(other[2], abs=1e-3)
    told = sample.metadata["bavt"]
    assert told["answer"] == expected.answer
    assert told["by_role"]["generator"] == dict(expected.ledger.by_role()["generator"])  # prompt tokens too
    assert told["spent"]["tokens"] == counted(sample) > 0


def test_real_model_sampled(tmp_path: Path, hf: Model, real_model: HFModel) -> None:
    world, question = builtin()
    row = Row(input=question.text, target="?", metadata={"plan": list(question.plan), "pages": dict(world.pages)})
    sample = run(tmp_path, hf, bavt(32, 8), row)
    told = sample.metadata["bavt"]
    assert sample.error is None and told["answer"]
    assert told["spent"]["tokens"] == counted(sample) > 0
    assert told["spent"]["tokens"] <= 32
    trace = trace_of(sample)
    prompts = [event.input[-1].text for event in sample.events if isinstance(event, ModelEvent)]
    checked = 0
    for event in trace.events:
        for text, _, logprobs, finished in event.data.get("steps", []) if event.kind == "expanded" else []:
            prompt = next(p for p in prompts if p.endswith(f"Question: {event.data['question']}\nAnswer:"))
            scores = real_model.score(prompt, [f" {text}\n"])[0]
            if finished and len(scores) == len(logprobs):
                assert logprobs == pytest.approx(scores, abs=1e-3)
                checked += 1
    assert checked >= 3
