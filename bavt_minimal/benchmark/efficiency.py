"""The efficiency benchmark: every method, budget, seed and question on the same model, samples and meter.

`benchmark_budget_efficiency` is the guide's name. Its rows are described in `store.py`, its tables in `report.py`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..agent import DualRoleLLMAgent
from ..budget import Budget
from ..checks import check_choice, check_count
from ..critic import LogProbCritic, PromptedCritic
from ..critics.adapter import load_adapter_critic
from ..critics.mix import LogProb, MixCritic
from ..models import ServerModel, is_url
from ..models.adapters import SHIPPED, find_adapter, read_card
from ..models.weights import MODEL_NAME
from ..planner import PLAN_EXAMPLES, Planner
from ..steps import Tool
from ..tasks.data import Gold, Question, World
from ..tasks.encyclopedia import SPLITS, make_world
from ..tasks.lookup import tool_for
from .bank import STEP, Bank, Remembered, RememberedHead
from .faults import fault
from .methods import BAVT, CHARGED, METHODS, RERANK, VOTE, Method, Parts, chains, tree
from .run import run_jobs
from .store import Job, Row, Store

PER_WORLD = 3  # questions of a generated world
Tiers = Sequence[tuple[int | None, int | None]]
TIERS: Tiers = ((32, 8), (64, 16), (128, 32), (256, 64))  # tokens, tool calls
BEYOND: Tiers = ((512, 128), (1024, 256))  # four times the two upper ones, for the baselines
# The paper's tiers are 5, 10 and 20 tool calls; ours have 4 tokens a call, the length of this task's step.
PAPER: Tiers = ((20, 5), (40, 10), (80, 20))
GUIDE: Tiers = ((250, None), (500, None), (1000, None))


def tiers_preset(methods: Mapping[str, Method]) -> dict[str, Tiers]:
    """Every method but those of the guide's preset at four budgets, the baselines at four times these too."""
    return spread([name for name in methods if name not in CHARGED], TIERS)


def spread(methods: Iterable[str], tiers: Tiers) -> dict[str, Tiers]:
    """The methods at some budgets, and the two main baselines at four times these too."""
    more = [tuple(None if x is None else 4 * x for x in budget) for budget in tiers]
    both: Tiers = tuple(dict.fromkeys((*tiers, *((tokens, calls) for tokens, calls in more))))
    return {name: both if name in (VOTE, RERANK) else tiers for name in methods}


def paper_preset(methods: Mapping[str, Method]) -> dict[str, Tiers]:
    """The paper's: BAVT at B against the baselines at B, 2B, 4B and 10B."""
    more = {(times * tokens, times * calls) for tokens, calls in PAPER for times in (1, 2, 4, 10) if tokens and calls}
    found: dict[str, Tiers] = {name: PAPER for name in (BAVT, "bavt, logprob")}
    return found | {name: tuple(sorted(more)) for name in (VOTE, RERANK)}


def guide_preset(methods: Mapping[str, Method]) -> dict[str, Tiers]:
    """The guide's: BAVT at 250, 500 and 1000 against a fixed 1000 and 10,000, prompt tokens charged."""
    return {"bavt, adapter, prompt charged": GUIDE, "vote, prompt charged": ((1000, None), (10_000, None))}


PRESETS: dict[str, Callable[[Mapping[str, Method]], dict[str, Tiers]]] = {
    "tiers": tiers_preset,
    "paper": paper_preset,
    "guide": guide_preset,
}


@dataclass
class Bench:
    """What the jobs of a benchmark are run on; an instance is the `work` of `run_jobs`.

    `model`: None for the default with its adapters; else a folder, a hub id, an address, or a `LanguageModel`.
    `data`: a world and its gold answers; None: the questions are those of generated worlds, named by their ids.
    `tool`: by default one that looks up the world's pages, or those of a question if it has its own.
    `bank`: a folder of what the model said, read and added to; None: in memory, for a question at a time.
    `offline`: the model is never loaded, the bank must have all. `fresh`: no bank, so that seconds mean something.
    `max_new_tokens`: of a step, for every method that does not say so itself.
    """

    model: Any = None
    data: tuple[World, Mapping[str, Gold]] | None = None
    tool: Tool | None = None
    bank: Path | None = None
    offline: bool = False
    fresh: bool = False
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)
    parts: Parts | None = None  # the user's own, in place of the model's
    max_new_tokens: int = STEP[1]

    def __call__(self, jobs: list[Job]) -> list[Row]:
        """A row for each job."""
        rows, worlds = [], OrderedDict[Hashable, list[Job]]()
        for job in jobs:
            worlds.setdefault(self.world_of(job), []).append(job)
        for key, own in worlds.items():
            for name in dict.fromkeys(job.question for job in own):
                self.check_question(name)  # before it is a part of a file's name
            bank = Bank(self.bank and self.bank / f"{self.file_of(str(key))}.json.xz")
            world, golds = self.data or world_of(own[0].question)
            questions = {question.id: question for question in world.questions}
            parts = self.make_parts(bank)
            tool = self.tool or tool_for(world, own[0].question)
            last = ""
            for job in sorted(own, key=lambda job: (job.question, job.seed)):
                if job.question != last:
                    bank.save()
                rows.append(self.row(job, parts, tool, questions[job.question], golds.get(job.question)))
                last = job.question
            bank.save()
        return rows

    def __post_init__(self) -> None:
        self.critics: tuple[str, ...] = () if self.parts is None else tuple(self.parts.critics)
        if self.model is not None:
            self.critics = ("logprob", "prompted")
        self.methods = {**own_methods(self.critics), **self.methods}  # a method of the user's keeps its name
        if check_count("max_new_tokens", self.max_new_tokens, least=1) != STEP[1]:
            self.methods = {name: self.cap(method) for name, method in self.methods.items()}

    def cap(self, method: Method) -> Method:
        """The method with steps of this length."""
        return replace(method, options={"max_new_tokens": self.max_new_tokens, **method.options})

    def part(self, jobs: Iterable[Job]) -> Bench:
        """What these jobs need: all else would be sent along with every batch."""
        if self.data is None:
            return self
        world, golds = self.data
        ids = {job.question for job in jobs}
        return replace(self, data=(world.part(ids), {id: gold for id, gold in golds.items() if id in ids}))

    def plan(self) -> dict[str, Tiers]:
        """Every method that the parts allow, at TIERS."""
        if not self.critics:
            return tiers_preset(self.methods)
        left_out = self.left_out()
        own = [critic for critic in self.critics if critic not in left_out]
        return spread((VOTE, "greedy chain", *own_methods(own)), TIERS)

    def left_out(self) -> dict[str, str]:
        """Critic -> why it cannot judge with this model. A server is asked, nothing else is."""
        model = load(self.model) if is_url(self.model) else self.model
        if self.parts is not None or not isinstance(model, ServerModel):
            return {}
        found = {} if model.gives_logprobs() else {"logprob": f"{model.url} gives no log-probabilities"}
        try:
            model.score("Reply:", (" yes", " no"))
        except NotImplementedError as error:
            found["prompted"] = str(error)
        return found

    def check_questions(self, questions: Sequence[str]) -> Sequence[str]:
        """The ids, if each has a question and an answer to compare with."""
        for name in questions:
            if name not in self.check_question(name):
                raise ValueError(f"question {name!r} has no answer: a benchmark needs one to compare with")
        return questions

    def check_question(self, name: str) -> Mapping[str, Gold]:
        """The gold answers of a question's world. Raises ValueError if there is no such question."""
        world, golds = self.data or world_of(name)
        if name not in (self.ids if self.data else {question.id for question in world.questions}):
            raise ValueError(f"there is no question {name!r}")
        return golds

    @cached_property
    def ids(self) -> frozenset[str]:
        """Of the data's questions, of which there may be many."""
        return frozenset(question.id for question in self.data[0].questions) if self.data else frozenset()

    def world_of(self, job: Job) -> str:
        """The jobs of a world share a bank, and are run together."""
        return job.question if self.data is not None else job.question.rpartition("-")[0]

    def file_of(self, key: str) -> str:
        """The name of a world's or a question's file in the bank; another model or length has files of its own."""
        length = f"\0{self.max_new_tokens}" if self.max_new_tokens != STEP[1] else ""
        if self.model is None and self.data is None and not length:
            return key
        model = getattr(self.model, "name", self.model)
        return hashlib.sha256(f"{model}\0{key}{length}".encode()).hexdigest()[:16]

    def make_parts(self, bank: Bank) -> Parts:
        """The model in its roles, each asking the bank first."""
        if self.parts is not None:
            return self.parts
        if self.model is not None:
            own = load(self.model) if isinstance(self.model, (str, Path)) else self.model
            model = own if self.fresh else Remembered(bank, lambda: own, name=own.name, most=self.max_new_tokens)
            critics: dict[str, Any] = {"logprob": LogProbCritic(), "prompted": PromptedCritic(model)}
            return Parts(model, critics, planner=Planner(model, examples=PLAN_EXAMPLES))
        return fresh_parts() if self.fresh else remembered_parts(bank, self.offline, self.max_new_tokens)

    def row(self, job: Job, parts: Parts, tool: Tool | None, question: Question, gold: Gold | None) -> Row:
        """Run one search. A question that has no plan is planned by the model, if it can, as in `bavt ask`."""
        method = self.methods[job.method]
        search = method(parts, Budget(job.tokens, job.tool_calls), tool, job.seed, gold)
        if not question.plan:
            search.planner = parts.planner
        began = time.perf_counter()
        plan = None if method.own_plans else question.plan or None
        result = search.search(question.text, plan=plan)
        seconds, spent, ledger = time.perf_counter() - began, result.ledger.spent, result.ledger
        for unit, most in (("tokens", job.tokens), ("tool_calls", job.tool_calls)):
            if most is not None and spent[unit] > most:
                raise RuntimeError(f"{job} used {spent[unit]} {unit}, more than its budget")
        right = DualRoleLLMAgent.evaluate(result.answer, gold)
        return {
            **vars(job),
            "answer": result.answer,
            "right": right,
            "hops": len(question.plan),
            "used": spent["tokens"],
            "by_role": {
                role: [used["tokens"], used["tool_calls"], used["prompt_tokens"]]
                for role, used in sorted(ledger.by_role().items())
            },
            "prompt_tokens": ledger.prompt_tokens,
            "tool_calls_used": spent["tool_calls"],
            "reason": result.reason,
            "forced": result.forced,
            "fault": fault(result, question, gold) if gold and gold.path and not right else "",
            "seconds": round(seconds, 4),
        }


def own_methods(critics: Iterable[str]) -> dict[str, Method]:
    """Chains and trees for critics of one's own."""
    found: dict[str, Method] = {}
    for name in critics:
        found |= {f"rerank, {name}": chains(name), f"bavt, {name}": tree(name)}
    return found


@lru_cache(8)
def world_of(question: str) -> tuple[World, dict[str, Gold]]:
    """The generated world of a question's id, such as "test-20064-1"."""
    parts = question.split("-")
    if len(parts) != 3 or not parts[1].isdecimal() or not any(int(parts[1]) in seeds for seeds in SPLITS.values()):
        raise ValueError(f"there is no question {question!r}")
    return make_world(int(parts[1]), PER_WORLD)


def load(source: str | Path | None = None, role: str = "") -> Any:
    """A model in a role, loaded once a process."""
    return _load(source, role)


@cache  # which takes equal calls that are written differently for different ones
def _load(source: str | Path | None, role: str) -> Any:
    import torch

    from ..models import load_model

    if role:
        return _load(source, "").with_adapter(role)
    torch.set_num_threads(1)  # the jobs are parallel, and samples then do not depend on the machine's cores
    return load_model(source)


@cache
def load_mix() -> MixCritic:
    """The shipped head and its mix."""
    from ..critics.fit import load_mix

    return load_mix(load())


def fresh_parts() -> Parts:
    """The default model as it is, nothing kept."""
    mix, view = load_mix(), load(role="critic")
    critics: dict[str, Any] = {"adapter": load_adapter_critic(find_adapter("critic"), view)}
    critics |= {"mix": mix, "head": mix.parts["head"]}
    return Parts(load(), critics, view, Planner(load(role="planner")))


def remembered_parts(bank: Bank, offline: bool, most: int = STEP[1]) -> Parts:
    """The same with a bank between, so that nothing is loaded before it is needed."""

    def view(role: str = "", head: Any = None) -> Remembered:
        return Remembered(bank, None if offline else partial(load, None, role), role, head, most=most)

    actor, tuned, head = view(head=lambda: load_mix().parts["head"]), view("critic"), RememberedHead()
    facts = json.loads((SHIPPED / "head" / "mix.json").read_text(encoding="utf-8"))
    parts = {name: head if name == "head" else LogProb(name) for name in facts["weights"]}
    critics: dict[str, Any] = {
        "adapter": load_adapter_critic(find_adapter("critic"), tuned),
        "mix": MixCritic(parts, facts["weights"], facts["intercept"]),
        "head": MixCritic({"head": head}, {"head": 1.0}),
    }
    return Parts(actor, critics, tuned, Planner(view("planner")))


def digests() -> dict[str, str]:
    """Of the shipped adapters' weights: what the rows of the default model depend on."""
    return {role: read_card(SHIPPED / role, MODEL_NAME)["sha256"][:16] for role in ("critic", "planner")}


def questions_of(split: str, count: int, skip_worlds: int = 0) -> list[str]:
    """Ids of the first so many questions of a split, after `skip_worlds` of its worlds."""
    seeds = SPLITS[check_choice("split", split, tuple(SPLITS))][check_count("skip_worlds", skip_worlds) :]
    most = len(seeds) * PER_WORLD
    if not 1 <= check_count("questions", count) <= most:
        raise ValueError(f"questions must be 1 .. {most} in what is left of {split}, got {count}")
    worlds = [make_world(seed, PER_WORLD)[0] for seed in islice(seeds, -(-count // PER_WORLD))]
    return [question.id for world in worlds for question in world.questions][:count]


def make_jobs(plan: Mapping[str, Tiers], questions: Sequence[str], seeds: int) -> list[Job]:
    """One job for each method, budget, seed and question, a question's together."""
    check_count("seeds", seeds, least=1)
    return [
        Job(name, tokens, calls, seed, question)
        for question in questions
        for seed in range(seeds)
        for name, tiers in plan.items()
        for tokens, calls in tiers
    ]


def benchmark_budget_efficiency(
    bench: Bench | None = None,
    plan: Mapping[str, Tiers] | None = None,
    questions: Sequence[str] | None = None,
    seeds: int = 3,
    store: Store | None = None,
    executor: Callable[[], Executor] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[Row]:
    """Run every method of `plan` (name -> budgets) on every question with every seed, and return a row for each.

    `bench` is what they run on: the default model on generated worlds, or your own model, tool and data. `plan`: by
    default all that these parts allow, at TIERS. `questions`: ids; by default those of your data that have an answer,
    or 30 of the dev split. `store` keeps the rows and has those of an earlier call, which are not run again;
    `executor` and `progress` are those of `run_jobs`. Guide: `benchmark_budget_efficiency`.
    """
    bench = Bench() if bench is None else bench
    plan = bench.plan() if plan is None else plan
    for name in plan:
        check_choice("a method", name, tuple(bench.methods))
    if questions is None:
        questions = questions_of("dev", 30) if bench.data is None else [q.id for q in bench.data[0].questions]
    jobs = make_jobs(plan, bench.check_questions(questions), seeds)
    if store is None:
        with TemporaryDirectory() as folder, Store(Path(folder) / "rows.sqlite") as passing:
            return benchmark_budget_efficiency(bench, plan, questions, seeds, passing, executor, progress)
    run_jobs(jobs, bench, store, executor, bench.world_of, progress)
    wanted = set(jobs)
    return [row for row in store.rows() if Job.of(row) in wanted]
