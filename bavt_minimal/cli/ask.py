"""`bavt ask`: check what was asked for, search, show, and keep the trace whatever happens."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console

from ..agent import DualRoleLLMAgent
from ..budget import Budget
from ..chains import ParallelChains
from ..critic import ConstantCritic, Critic, LogProbCritic
from ..critics import agent as trained
from ..models import ServerModel, is_url
from ..models.adapters import CARD, SHIPPED
from ..planner import PLAN_EXAMPLES, Planner
from ..search import BudgetAwareValueTreeSearch
from ..searcher import Searcher, SearchResult, describe
from ..selection import BudgetAware, BudgetAwareUCB, Selection, greedy, uniform
from ..steps import LanguageModel, Tool, check_plan, clean
from ..tasks.data import Gold, Question, World
from ..tasks.encyclopedia import builtin, builtin_gold
from ..tasks.formats import collect
from ..tasks.lookup import tool_for
from ..trace import Trace
from ..views.fold import fold, plain
from ..views.terminal import LiveView, PlainView
from .data import check, load, read
from .main import DEFAULTS, SELECTIONS, UsageError, UserError, read_trace

if TYPE_CHECKING:
    from ..models.hf import HFModel

KEEP_AT = ("selected", "read", "stopped")  # chains are not selected, but read
WEIGHTS = {"adapter": "critic", "mix": "head", "head": "head"}  # critic -> what `bavt train` makes for it
# How a trace's header begins to describe a critic that was loaded; the rest names its model and weights.
LOADED = {"AdapterCritic(": "adapter", "MixCritic(": "mix", "CriticHead(": "head", "PromptedCritic(": "prompted"}


@dataclass
class Job:
    """What to ask and how, checked before the model is loaded."""

    question: Question
    gold: Gold | None  # for the line after the search only
    tool: Tool | None  # None: there are no pages
    settings: dict[str, Any]  # as DEFAULTS, with "critic" and "plan"
    default_model: bool = True  # which has the shipped adapters
    json: bool = False
    save: Path | None = None
    earlier: Trace | None = None
    again: str = ""  # the options that a later --resume needs too

    def searcher(self, model: LanguageModel) -> Searcher:
        """The search that was asked for."""
        chosen, judge = self.settings, None
        options: dict[str, Any] = {name: chosen[name] for name in ("seed", "max_new_tokens")}
        options["planner"] = self.planner(model)
        budget = Budget(chosen["tokens"], chosen["tool_calls"])
        if chosen["method"] != "parallel":
            judge = trained.load_critic(chosen["critic"], cast("HFModel", model))
        if chosen["method"] == "bavt":
            selection = make_selection(chosen["selection"], chosen["tokens"])
            return BudgetAwareValueTreeSearch(model, judge, budget, self.tool, selection=selection, **options)
        return ParallelChains(model, judge, budget, self.tool, **options)

    def planner(self, model: LanguageModel) -> Planner | None:
        """Who makes the plans: the shipped adapter, or another model by worked examples; None: nobody has to."""
        if self.settings["plan"] == "given":
            return None
        if self.default_model:
            return trained.load_planner(cast("HFModel", model))
        return Planner(model, examples=PLAN_EXAMPLES)

    @property
    def plan(self) -> tuple[str, ...] | None:
        """The plan to follow; None: one of the search's own, or none at all."""
        return (self.question.plan or None) if self.settings["plan"] == "given" else None


def make_selection(name: str, tokens: int | None) -> Selection:
    """A selection rule by its name; the guide's bonus is in units of the token budget."""
    if name in ("ucb", "scaled-ucb"):
        return BudgetAwareUCB(total_budget=max(1, tokens or 1), scaled=name == "scaled-ucb")
    rules: dict[str, Selection] = {"bavt": BudgetAware(), "greedy": greedy, "uniform": uniform}
    return rules[name]


def prepare(args: argparse.Namespace) -> Job:
    """Read and check files and options. Raises UserError naming the option."""
    earlier = read_trace("--resume", args.resume) if args.resume is not None else None
    if earlier is not None:
        check_events(earlier, args.resume)
    settings = choose_settings(args, earlier)
    asked = args.question
    before, plan = "", []
    if earlier is not None:
        before, plan = earlier.header.get("question", ""), earlier.header.get("plan", [])
        if not isinstance(before, str) or not isinstance(plan, list):
            raise UserError(f"--resume {args.resume}: the trace's header has no question and plan")
        if asked is not None and not same(asked, before):
            raise UserError(f"question: the trace asks {plain(before, 200)!r}; leave the question out or give that one")
        asked = before
    question, gold, world = choose_question(asked, args)
    tool = tool_for(world, question.id)
    default_model = args.model is None
    notes = [choose_critic(settings, default_model)]
    if is_url(args.model) and settings["critic"] in WEIGHTS:
        raise UserError(f"--critic {settings['critic']}: it needs a model's weights; use logprob")
    if earlier is not None:
        bare = not question.plan and tuple(plan) == check_plan(before, None)
        question = replace(question, text=before, plan=() if bare else tuple(plan))
        check_pages(earlier, tool, args)
    how = choose_plan(settings, bool(question.plan), default_model, args.model)
    if settings["plan"] == "own" and args.tokens is None and earlier is None:
        settings["tokens"] *= 2  # a plan costs 25 to 55 tokens before the first page is read
    if earlier is None and not question.plan:
        where = args.data or "the built-in encyclopedia of made-up people and places"
        looks = f"Pages are looked up in {where}." if tool else ""
        notes.append(f"this question comes without a plan: {how}. {looks}".strip())
    if tool is None:
        notes.append(f"{args.data} has no pages: nothing is looked up, and the model answers from memory.")
    target = args.save if args.save is not None else args.resume
    job = Job(question, gold, tool, settings, default_model, args.json, None, earlier)
    if target is not None:
        job.save = check_writable("--save" if args.save is not None else "--resume", target)
    for option in ("data", "format", "aliases", "model"):
        if (value := getattr(args, option)) is not None:
            job.again += f" --{option} {shlex.quote(value)}"
    for words in filter(None, notes):  # at the end: an error comes alone
        note(words)
    return job


def check_events(trace: Trace, path: str) -> None:
    """A trace from anywhere is read whole before it is trusted."""
    try:
        fold(trace.events)
    except ValueError as error:
        raise UserError(f"--resume {path}: {error}") from error


def check_pages(earlier: Trace, tool: Tool | None, args: argparse.Namespace) -> None:
    """Going on with other pages would be another search."""
    for event in earlier.events:
        if event.kind == "read" and "why" not in event.data:
            query = event.data["query"]
            if tool is None or clean(tool(query)) != event.data["page"]:
                where = "the built-in encyclopedia" if args.data is None else args.data
                raise UserError(
                    f"--resume {args.resume}: for {plain(query, 80)!r} it read another page than {where} has; "
                    "give the --data that it was made with"
                )


def choose_settings(args: argparse.Namespace, earlier: Trace | None) -> dict[str, Any]:
    """The options, else those of the trace to go on with, else the defaults."""
    before: dict[str, Any] = {} if earlier is None else settings_of(earlier.header)
    settings = {}
    for name, default in (DEFAULTS | {"critic": None, "plan": None}).items():
        given = getattr(args, name)
        if given is not None and name in before and given != before[name]:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} {given}: the trace was made with {before[name]}; leave it out or give that")
        settings[name] = before.get(name, default) if given is None else given
    for name, methods in (("selection", ("bavt",)), ("critic", ("bavt", "rerank"))):
        if getattr(args, name) is not None and settings["method"] not in methods:
            raise UsageError(f"--{name}: method {settings['method']} has none; use --method {' or '.join(methods)}")
    return settings


def choose_critic(settings: dict[str, Any], default_model: bool) -> str:
    """Name the critic if nobody did, the adapter where there is one, and return what the user should know, or "".

    Raises UserError if a critic that was named is missing.
    """
    if settings["method"] == "parallel":
        return ""
    if settings["critic"] is not None:
        if role := WEIGHTS.get(settings["critic"]):
            check_shipped(f"--critic {settings['critic']}", role, "--critic logprob needs none")
        return ""
    settings["critic"] = "adapter" if default_model and is_shipped("critic") else "logprob"
    if default_model and settings["critic"] == "logprob":
        return f"steps are judged by log-probability: there is no critic adapter here ({remedy('critic')})."
    return ""


def check_server(job: Job, model: ServerModel, named: bool) -> None:
    """Ask a server, before the search, for what the critic needs. Raises UserError if it was named and cannot work."""
    critic = job.settings["critic"]
    if critic == "prompted":
        try:
            model.score("Reply:", (" yes", " no"))
        except NotImplementedError as error:
            raise UserError(f"--critic prompted: {error}") from None
    if critic == "logprob" and not model.gives_logprobs():
        if named:
            raise UserError("--critic logprob: the server gives no log-probabilities; --critic constant needs none")
        job.settings["critic"] = "constant"
        note("no step is judged (critic constant), as the server gives no log-probabilities")


def choose_plan(settings: dict[str, Any], has_plan: bool, default_model: bool, source: str | None) -> str:
    """Say whose plan is followed if nobody did, and return in words what a bare question gets.

    Raises UserError if the search is to make plans and has not the weights for it.
    """
    if settings["plan"] == "own" and default_model:
        check_shipped("--plan own", "planner", "--plan given needs none")
    alone = default_model and not is_shipped("planner")
    if settings["plan"] is None:
        settings["plan"] = "given" if has_plan or alone else "own"
        if alone:
            return f"it is asked as one step, as there is no planner adapter here ({remedy('planner')})"
    if settings["plan"] == "given":
        return "it is asked as one step"
    return "the planner adapter makes one" if default_model else f"{source} makes one, shown a few examples"


def is_shipped(role: str) -> bool:
    """Whether the weights of a role came with this installation; they are checked when they are loaded."""
    return (SHIPPED / role / CARD).is_file()


def check_shipped(option: str, role: str, instead: str) -> None:
    """Raise UserError, before the model is loaded, if the weights of a role are missing."""
    if not is_shipped(role):
        raise UserError(f"{option}: no {role} weights in this installation ({remedy(role)}); {instead}")


def remedy(role: str) -> str:
    """How to have the weights of a role: `bavt train` alone writes elsewhere."""
    return f"to make it: bavt train {role} --out {shlex.quote(str(SHIPPED / role))}"


def settings_of(header: dict[str, Any]) -> dict[str, Any]:
    """The command line's settings of a trace, from what its header says of the search."""
    names = {"BudgetAwareValueTreeSearch": "bavt", "ParallelChains": "parallel"}
    method = names.get(str(header.get("method")))
    if method is None:
        raise UserError(f"--resume: unknown method {plain(header.get('method'), 80)!r} in the trace")
    if method == "parallel" and header.get("answer_rule") == "best":
        method = "rerank"
    numbers = ("tokens", "tool_calls", "seed", "max_new_tokens")
    found = {name: header.get(name) for name in numbers} | {"method": method}
    found["plan"] = "own" if "planner" in header else "given"
    for name in numbers:
        if not (type(found[name]) is int or (found[name] is None and name in ("tokens", "tool_calls"))):
            raise UserError(f"--resume: {name} is {plain(found[name], 80)!r} in the trace, not a whole number")
    kernel: dict[str, Critic] = {"logprob": LogProbCritic(), "constant": ConstantCritic()}
    critics = {describe(critic): name for name, critic in kernel.items()}
    said = str(header.get("critic"))
    for start, name in LOADED.items():
        if said.startswith(start):
            critics[said] = name
    rules = {describe(make_selection(name, header.get("tokens"))): name for name in SELECTIONS}
    for name, known in (("critic", critics), ("selection", rules)):
        if name not in header or method == "parallel":
            continue
        if str(header[name]) not in known:
            raise UserError(f"--resume: the trace's {name} {plain(header[name], 80)!r} is none of this command's")
        found[name] = known[str(header[name])]
    return found


def choose_question(asked: str | None, args: argparse.Namespace) -> tuple[Question, Gold | None, World]:
    """The question with its plan, the right answer if it is known, and the pages."""
    first: Question | None
    data = args.data
    check(args)
    if args.format is not None:
        return find_question(asked, args)
    if data is None:
        world, first, gold = builtin_task()
    else:
        world, gold = load(args)
        first = world.questions[0] if world.questions else None
        if asked is None and len(world.questions) > 1:
            note(f"{data} has {len(world.questions)} questions; this is the first. Give another one's text to ask it.")
    if asked is None:
        if first is None:
            raise UserError(f'--data {data}: it has no questions; give one: bavt ask --data {data} "..."')
        return first, gold.get(first.id), world
    for known in world.questions:
        if same(known.text, asked):
            return known, gold.get(known.id), world
    return Question("", asked), None, world


def find_question(asked: str | None, args: argparse.Namespace) -> tuple[Question, Gold | None, World]:
    """The same in a data set, of which no more is read than is needed. Its pages belong to its own questions."""
    for item in read(args):
        if asked is None or same(item.question.text, asked):
            world, gold = collect([item])
            return item.question, gold.get(item.question.id), world
    if asked is None:
        raise UserError(f"--data {args.data}: it has no questions")
    raise UserError(f"question: {plain(asked, 200)!r} is none of {args.data}, whose pages belong to its own questions")


def same(one: str, two: str) -> bool:
    """Whether two questions differ in case and blanks only."""
    return one.casefold().split() == two.casefold().split()


def builtin_task() -> tuple[World, Question, dict[str, Gold]]:
    """The built-in encyclopedia, its question and the right answers."""
    world, question = builtin()
    return world, question, {question.id: builtin_gold()}


def check_writable(option: str, name: str) -> Path:
    """A path that a trace can be written to and that holds nothing else. Raises UserError before any work is done."""
    path = Path(name)
    try:
        if path.is_dir():
            raise UserError(f"{option} {name}: that is a folder; name a file in it")
        if path.exists() and not path.is_file():  # a device would be replaced
            raise UserError(f"{option} {name}: that is not a file")
        if path.exists() and path.stat().st_size:
            try:
                Trace.load(path)
            except ValueError:
                raise UserError(f"{option} {name}: the file is there and is no trace; name another") from None
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name):
            pass
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {name}: cannot write there: {getattr(error, 'strerror', None) or error}") from error
    return path


def ask(job: Job, model: LanguageModel, console: Console) -> int:
    """Search, show it on `console`, keep the trace. Returns the exit code; 130 after Ctrl-C."""
    search = job.searcher(model)
    live = console.file.isatty() and not console.is_dumb_terminal and not job.json
    view = LiveView(console) if live else PlainView(console.file)
    keeper = Keeper(job, search)
    began = time.monotonic()
    try:
        with view.running() if isinstance(view, LiveView) else nullcontext():
            for event in search.run(job.question.text, plan=job.plan, resume=job.earlier):
                if event.kind in KEEP_AT:
                    keeper.keep()
                if not job.json:
                    view(event)
    except KeyboardInterrupt:
        note(f"interrupted. {keeper.rescue()}")
        return 130
    except BrokenPipeError:  # nobody reads on
        keeper.keep()
        raise
    except Exception:
        if len(getattr(search, "trace", Trace({})).events) > 1:
            note(keeper.rescue())
        raise
    seconds = time.monotonic() - began
    verdict = check_answer(search.result, job.gold)
    if job.json:
        print(json.dumps(as_json(job, search.result, seconds, verdict)), file=console.file)
    else:
        gold = "" if job.gold is None else f"{plain(job.gold.answer, 200)} ({'right' if verdict else 'wrong'})"
        view.finish(gold)
    if keeper.failure:
        note(f"error: {keeper.failure}")
        return 1
    return 0


class Keeper:
    """Writes the trace of a search, and never ends the search because it cannot."""

    job: Job
    search: Searcher
    failure: str

    def __init__(self, job: Job, search: Searcher):
        self.job, self.search, self.failure = job, search, ""

    def keep(self, path: Path | None = None) -> bool:
        """Write the trace; false if it was not written."""
        path = path or self.job.save
        try:
            if path is not None:
                self.search.trace.save(path)
                self.failure = ""
        except (OSError, ValueError) as error:
            self.failure = plain(error, 500)
        return path is not None and not self.failure

    def rescue(self) -> str:
        """Write the trace of a search that was cut off, to a new file if none was named; say where it is."""
        if not hasattr(self.search, "trace"):
            return "The search had not begun; nothing to save."
        path = self.job.save or unused(Path(time.strftime("bavt-%Y%m%d-%H%M%S.trace.json")))
        if not self.keep(path):
            return f"The trace is lost: {self.failure}"
        name = shlex.quote(str(path))
        return f"The trace is in {name}. Go on with: bavt ask --resume {name}{self.job.again}"


def unused(path: Path) -> Path:
    """`path`, or the like with a number if it is taken."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(path.name.replace(".trace", f"-{number}.trace"))
        number += 1
    return free


def check_answer(result: SearchResult, gold: Gold | None) -> bool | None:
    """Whether the answer is the right one; None if that is not known. The search is over by now."""
    return None if gold is None else bool(DualRoleLLMAgent.evaluate(result.answer, gold))


def as_json(job: Job, result: SearchResult, seconds: float, verdict: bool | None) -> dict[str, Any]:
    """What --json prints."""
    header = {key: value for key, value in result.trace.header.items() if key not in ("question", "plan")}
    return {
        "question": job.question.text,
        "plan": list(result.plan),
        "plan_source": job.settings["plan"] if result.plan else "none",
        "planned_lookups": len(result.plan),
        "used_lookups": result.ledger.spent["tool_calls"],
        "answer": result.answer,
        "value": round(result.value, 6),
        "reason": result.reason,
        "forced": result.forced,
        "gold": job.gold.answer if job.gold else None,
        "right": verdict,
        "spent": {name: result.ledger.spent[name] for name in ("tokens", "tool_calls")},
        "roles": {role: dict(used) for role, used in result.ledger.by_role().items()},
        "seconds": round(seconds, 3),
        "settings": header,
    }


def note(words: str) -> None:
    """A line for the user that is no part of the output."""
    print(f"bavt: {plain(words, 2000)}", file=sys.stderr, flush=True)
