"""What the tree search and the chains it is compared with have in common: settings, the root, the answer."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from .budget import Budget, Ledger
from .checks import check_choice, check_count
from .critic import Critic
from .expansion import Expansion
from .planner import Planner
from .steps import Generator, LanguageModel, Plan, Tool, check_plan, normalize
from .trace import Event, Events, Trace
from .tree import TreeNode

ANSWER_RULES = ("best", "majority", "weighted")


@dataclass(frozen=True)
class SearchResult:
    """What a search found and why it stopped."""

    answer: str  #: "" if the budget did not allow a single step, or the tool never returned
    value: float  #: V of the answer's node
    reason: str  #: answered, tokens, tool_calls, depth, exhausted, error or interrupted
    forced: bool  #: no answer was in hand when the search stopped
    node: TreeNode
    root: TreeNode
    ledger: Ledger
    trace: Trace
    plan: tuple[str, ...] = ()  #: the plan behind the answer, given or drawn; () if there was none


def choose_answer(answers: Sequence[TreeNode], rule: str = "best") -> TreeNode:
    """One of several answer nodes: highest V, most often drawn, or drawn with the most V. Ties: the first.

    >>> root = TreeNode("question")
    >>> once = root.add_child("London", residual=0.4)
    >>> often = root.add_child("Paris", residual=0.1, copies=3)
    >>> [choose_answer([once, often], rule).text for rule in ANSWER_RULES]
    ['London', 'Paris', 'Paris']
    """
    if check_choice("rule", rule, ANSWER_RULES) == "best":
        return max(answers, key=lambda node: node.value)
    votes: defaultdict[str, float] = defaultdict(float)
    for node in answers:
        votes[normalize(node.text)] += node.copies * (node.value if rule == "weighted" else 1)
    return max(answers, key=lambda node: votes[normalize(node.text)])


def describe(part: object) -> str:
    """A rule, critic or model in a trace's header: the same text in another process."""
    if is_dataclass(part) and not isinstance(part, type):
        settings = [f"{field.name}={describe(getattr(part, field.name))}" for field in fields(part) if field.repr]
        return f"{type(part).__qualname__}({', '.join(settings)})"
    text = repr(part)
    if " at 0x" not in text:
        return text
    adapter = getattr(part, "adapter", "")  # a model in another role is another judge
    return str(getattr(part, "__qualname__", type(part).__qualname__)) + (f"+{adapter}" if adapter else "")


def digest(text: str) -> str:
    """A long text in a trace's header."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Searcher:
    """Settings that both kinds of search share. `run` is the search's own.

    `options` go to `Generator`: seed, temperature, top_k, max_new_tokens, examples, layers, budget_hint.
    """

    critic: Critic
    charge_prompt: bool
    planner: Planner | None
    answer_rule: str
    v0: float
    v_min: float
    result: SearchResult
    trace: Trace

    def __init__(
        self,
        model: LanguageModel,
        critic: Critic,
        budget: Budget | int | None,
        tool: Tool | None,
        charge_prompt: bool,
        options: dict[str, Any],
        planner: Planner | None = None,
    ):
        self.budget: Budget = Budget() if budget is None else Budget.of(budget)
        if not callable(critic):
            raise TypeError(f"critic must be callable, got {critic!r}")
        if planner is not None and not isinstance(planner, Planner):
            raise TypeError(f"planner must be a Planner, got {planner!r}")
        self.critic, self.charge_prompt, self.planner = critic, charge_prompt, planner
        # A critic that reads hidden states wants them with the samples: read again, each would cost a forward pass.
        self.generator: Generator = Generator(model, tool, **{"layers": getattr(critic, "layers", ()), **options})
        self.answer_rule, self.v0, self.v_min = "best", 0.5, 0.05

    def run(self, question: str, max_depth: int = 10, plan: Plan = None, resume: Trace | None = None) -> Events:
        """The search, one event at a time."""
        raise NotImplementedError

    def search(
        self,
        question: str,
        max_depth: int = 10,
        plan: Plan = None,
        resume: Trace | None = None,
        listeners: Sequence[Callable[[Event], object]] = (),
    ) -> SearchResult:
        """Run to the end, telling every listener each event.

        Without `plan` the planner draws its own; without a planner the question is its own single step.
        `resume` is the trace of a search that was cut off: it is replayed, then the search goes on.
        """
        if callable(listeners) or not all(map(callable, listeners)):
            raise TypeError(f"listeners must be a list of functions, got {listeners!r}")
        for event in self.run(question, max_depth, plan, resume):
            for listener in listeners:
                listener(event)
        return self.result

    def start(self, question: str, max_depth: int, plan: Plan, resume: Trace | None, backstop: Budget) -> Expansion:
        """A root that states the plan, the tool calls it needs and the budget (paper, "planning"), and its trace."""
        steps = check_plan(question, plan)
        planner = self.planner if plan is None else None
        generator = self.generator.start(steps)
        header: dict[str, Any] = {"method": type(self).__name__, "question": question}
        header["plan"] = [] if planner else list(steps)
        header |= {"model": generator.model.name, "max_depth": check_count("max_depth", max_depth, least=1)}
        header |= {"tokens": self.budget.tokens, "tool_calls": self.budget.tool_calls}
        for name, value in vars(self).items():
            if name not in ("budget", "generator", "planner", "result", "trace"):
                header[name] = value if isinstance(value, (int, float, str)) else describe(value)
        for name in ("seed", "temperature", "top_k", "max_new_tokens", "budget_hint"):
            header[name] = getattr(generator, name)
        header["examples"] = digest(generator.examples)
        if planner is not None:
            header |= {"planner": describe(planner), "planner_model": planner.model.name}
            header["planner_adapter"] = getattr(planner.model, "adapter", "")
            header["planner_examples"] = digest(planner.examples)
        # By name only: a tool may hold a key, or a count that changes.
        header["tool"] = getattr(generator.tool, "__qualname__", type(generator.tool).__qualname__)
        self.trace = Trace(header)
        if resume is not None:
            self.trace.resume(resume)
        title = "No plan yet" if planner else f"Plan ({len(steps)} lookups)"
        root = TreeNode("\n".join([title, *steps, f"{self.budget}"]), value=self.v0)
        ledger = Ledger(self.budget, self.charge_prompt, backstop)
        tree = Expansion(generator, self.critic, ledger, self.trace, root, self.v_min)
        tree.planner, tree.max_depth, tree.given = planner, max_depth, plan is not None
        return tree

    def fail(self, tree: Expansion, error: BaseException) -> None:
        """Keep what a failed or interrupted search has, its charges too, so that it can be shown and resumed."""
        if all(event.kind == "stopped" for event in tree.trace.recorded):  # else a replay failed: nothing is new
            self.stop(tree, "error" if isinstance(error, Exception) else "interrupted", error)

    def stop(self, tree: Expansion, reason: str, error: BaseException | None = None) -> Event:
        """Choose the answer and say why the search stopped. Without an answer, the furthest step is the guess."""
        answers = [node for node in tree.nodes if node.terminal]
        if answers:
            node = choose_answer(answers, self.answer_rule)
        else:
            node = max(tree.nodes, key=lambda n: (tree.depth(n), n.value))
        forced = not answers or any(row.role == "backstop" for row in tree.ledger.rows)
        answer, plan = node.text if tree.depth(node) else "", tree.plan(node)
        self.result = SearchResult(answer, node.value, reason, forced, node, tree.root, tree.ledger, tree.trace, plan)
        data: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"} if error else {}
        if "planner" in tree.trace.header:
            data |= {"planned_lookups": len(plan), "used_lookups": tree.ledger.spent["tool_calls"]}
        return tree.record("stopped", node, answer=answer, value=node.value, reason=reason, forced=forced, **data)
