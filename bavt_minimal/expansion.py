"""What happens when a node is expanded: read a page, draw steps, drop the worthless, judge the rest, add them.

With a planner the root is expanded likewise, into plans: there is no page to read, and the planner is the judge.
The tree search and the chains it is compared with share this, so that both are metered alike.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .budget import BudgetExceeded, Ledger
from .critic import Critic, judge_tokens
from .planner import DrawnPlan, Planner
from .residual import chance
from .steps import Generator, Sample, Step, clean, normalize
from .trace import Event, Events, Trace
from .tree import TreeNode


@dataclass
class Expansion:
    """The state of one search: tree, ledger, trace, and what was read and drawn.

    With a planner the root's children are plans, and what lies below one of them follows it.
    """

    generator: Generator
    critic: Critic
    ledger: Ledger
    trace: Trace
    root: TreeNode
    v_min: float = 0.05
    prune_below: float = -1.0  # a step whose residual is not above this adds nothing
    unique: bool = True  # drop a step that a sibling already has
    planner: Planner | None = None  # None: the generator's plan is everybody's
    given: bool = True  # the generator's plan was given, not made up from the question
    max_depth: int = 10  # steps of reading, a plan is none
    plan_tokens: int = 0  # the most that a finished plan has cost so far
    expansions: int = field(default=0, init=False)
    answer: TreeNode | None = field(default=None, init=False)  # the one with the highest V so far
    nodes: list[TreeNode] = field(default_factory=list)
    closed: dict[int, str] = field(default_factory=dict)  # node id -> why it is not expanded again

    def __post_init__(self) -> None:
        self.nodes.append(self.root)
        self.judge_tokens: int = judge_tokens(self.critic)

    def steps(self, node: TreeNode) -> list[TreeNode]:
        """The steps of reading on the way to a node, its own included: choosing a plan is none."""
        return [each for each in node.path()[1:] if not isinstance(each.state, DrawnPlan)]

    def follow(self, node: TreeNode) -> tuple[Generator, list[str]]:
        """Where a node is: a generator on the plan that it follows, and the answers to its first sub-questions."""
        path, answers = node.path()[1:], [step.text for step in self.steps(node)]
        if len(path) > len(answers):
            return self.generator.follow(path[0].state.steps), answers
        return self.generator, answers

    def plan(self, node: TreeNode) -> tuple[str, ...]:
        """The plan that a node follows; () if it has none and asks the question as it is."""
        generator = self.follow(node)[0]
        return generator.plan if self.given or generator is not self.generator else ()

    def depth(self, node: TreeNode) -> int:
        """How many steps of reading lead to a node."""
        return len(node.state.answers) + 1 if isinstance(node.state, Step) else 0

    def promise(self, node: TreeNode) -> float:
        """What a node is worth as a parent: V, times the chance that none of its children is right, not below v_min.

        When to widen is left open by the paper. A sibling of a step that is surely right adds nothing; where all
        children are judged wrong, another is all that helps. The chance is read back from the children's residuals.
        It is asked again when the node or one below it was expanded, not before each draw.
        """
        judge = self.planner if self.planner is not None and node is self.root else self.critic
        scale = getattr(judge, "scale", 1.0)
        best = max((chance(child.residual_value, scale) for child in node.children), default=0.0)
        return max(self.v_min, node.value * (1.0 - best))

    def short_of(self, node: TreeNode) -> str:
        """What is not left for expanding a node, "tokens" or "tool_calls", or "".

        A plan is of no use without a page to read, and another one is not begun with fewer tokens than the longest so
        far has cost: an unfinished plan would be their loss.
        """
        generator, answers = self.follow(node)
        plans = self.planner is not None and node is self.root
        needs_tool = generator.tool is not None if plans else generator.needs_tool(answers)
        if needs_tool and self.ledger.left("tool_calls", "tool") < 1:
            return "tool_calls"
        return "tokens" if plans and self.ledger.left("tokens", "planner") <= self.plan_tokens else ""

    def record(self, kind: str, node: TreeNode, **data: Any) -> Event:
        """An event that costs nothing."""
        return self.trace.record(kind, node.id, self.ledger, lambda: data)

    def is_open(self, node: TreeNode) -> bool:
        """Whether a node may be expanded: no answer, no failure, not known to cost more than is left."""
        return not node.terminal and node.id not in self.closed

    def fail(self, node: TreeNode, why: str) -> Event:
        """An expansion came to nothing. A node that costs more than is left is closed; a tool may be tried again."""
        if why in ("tokens", "tool_calls"):
            self.closed[node.id] = why
        return self.record("pruned", node, text=node.text, why=why)

    def expand(self, node: TreeNode, k: int, role: str = "", again: bool = False) -> Events:
        """Add up to `k` children to `node`, yielding events. `role`: who pays; `again`: pay for a known page too."""
        node.expansions += 1
        self.expansions += 1
        steps: list[Any] = []  # `Step`, or `DrawnPlan` at the root if there is a planner
        if self.planner is not None and node is self.root:
            yield from self._plan(node, self.planner, steps)
        else:
            yield from self._step(node, k, role, again, steps)
            said = tuple(step.residual_value for step in self.steps(node))
            steps = [replace(step, residuals=said) for step in steps]
        counts = Counter(normalize(step.text) for step in steps if self.unique and not step.fault())
        for child in node.children:
            child.copies += counts[normalize(child.text)]
        fresh: list[Any] = []
        for step in steps:
            if why := self._worthless(node, step, fresh):
                yield self.record("pruned", node, text=step.text, why=why)
            else:
                fresh.append(step)
        if fresh:
            event = self.trace.record("scored", node.id, self.ledger, lambda: self._judge(fresh))
            yield event
            if "why" in event.data:
                yield self.fail(node, event.data["why"])
                return
            for step, residual in zip(fresh, event.data["residuals"], strict=True):
                yield from self._add(node, step, residual, counts[normalize(step.text)] or 1)

    def _plan(self, node: TreeNode, planner: Planner, plans: list[DrawnPlan]) -> Events:
        """Draw plans into `plans`."""
        prompt = planner.prompt(self.generator.plan[0], self.ledger.budget)
        event = self.trace.record("planned", node.id, self.ledger, lambda: self._draw_plans(planner, prompt))
        yield event
        if "why" in event.data:
            yield self.fail(node, event.data["why"])
            return
        read = max((row["prompt_tokens"] for row in event.charges), default=0) if self.ledger.charge_prompt else 0
        for text, tokens, logprobs, finished in event.data["plans"]:
            plans.append(DrawnPlan.read(Sample(text, tokens, tuple(logprobs), finished), self.max_depth))
            self.plan_tokens = max(self.plan_tokens, bool(finished) * (tokens + read))
        self.generator.draws[prompt] += len(plans)

    def _draw_plans(self, planner: Planner, prompt: str) -> dict[str, Any]:
        k = planner.candidates if self.unique else 1  # a chain follows one plan
        try:
            samples = planner.draw(prompt, k, self.generator.draws[prompt], self.generator.seed, self.ledger)
        except BudgetExceeded as error:
            return {"why": error.resource}
        return {"plans": [as_row(sample) for sample in samples]}

    def _step(self, node: TreeNode, k: int, role: str, again: bool, steps: list[Step]) -> Events:
        """Read the next page and draw up to `k` steps into `steps`."""
        generator, answers = self.follow(node)
        if again or generator.needs_tool(answers):
            event = self.trace.record(
                "read", node.id, self.ledger, lambda: self._read(generator, answers, role or "tool", again)
            )
            yield event
            if "why" in event.data:
                yield self.fail(node, event.data["why"])
                return
            generator.pages[event.data["query"]] = event.data["page"]
        prompt = generator.prompt(answers, self.ledger)
        event = self.trace.record(
            "expanded",
            node.id,
            self.ledger,
            lambda: self._draw(generator, answers, prompt, k, role or "generator", steps),
        )
        yield event
        if "why" in event.data:
            yield self.fail(node, event.data["why"])
        elif not steps:  # recorded earlier: made again from the event, without hidden states
            generator.draws[prompt] += len(event.data["steps"])
            for text, tokens, logprobs, finished in event.data["steps"]:
                steps.append(generator.step(answers, prompt, Sample(text, tokens, tuple(logprobs), finished)))

    def _read(self, generator: Generator, answers: Sequence[str], role: str, again: bool) -> dict[str, Any]:
        query = generator.fill(answers)[1]
        try:
            return {"query": query, "page": generator.read(answers, self.ledger, role, again)}
        except BudgetExceeded as error:
            return {"query": query, "why": error.resource}
        except Exception as error:  # whatever the user's tool raises: the step is lost, not the search
            return {"query": query, "why": f"tool: {type(error).__name__}: {clean(error, 200)}"}

    def _draw(
        self, generator: Generator, answers: Sequence[str], prompt: str, k: int, role: str, steps: list[Step]
    ) -> dict[str, Any]:
        try:
            steps += generator.propose(answers, prompt, k, self.ledger, role, self.judge_tokens)
        except BudgetExceeded as error:
            return {"why": error.resource}
        return {"question": generator.fill(answers)[0], "steps": [as_row(step.sample) for step in steps]}

    def _worthless(self, node: TreeNode, step: Step | DrawnPlan, siblings: Sequence[Step | DrawnPlan]) -> str:
        """Why a step adds nothing, or ""."""
        others = {normalize(other.text) for other in (*siblings, *node.children)} if self.unique else set()
        return step.fault() or ("duplicate" if normalize(step.text) in others else "")

    def _judge(self, steps: Sequence[Any]) -> dict[str, Any]:
        try:
            if self.planner is not None and isinstance(steps[0], DrawnPlan):
                returned: Any = self.planner.judge(steps, self.ledger)
            else:
                returned = self.critic(steps, self.ledger)
        except BudgetExceeded as error:
            return {"why": error.resource}
        try:
            residuals = [float(x) for x in returned]
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"critic must return one number in [-1, 1] a step, got {returned!r}") from error
        if len(residuals) != len(steps):
            raise ValueError(f"critic must return one number a step: got {len(residuals)} for {len(steps)} steps")
        # JSON has no NaN: a residual that is no number is kept as null
        return {"residuals": [x if math.isfinite(x) else None for x in residuals]}

    def _add(self, node: TreeNode, step: Step | DrawnPlan, residual: float | None, copies: int) -> Events:
        if residual is None or not -1.0 <= residual <= 1.0:
            said = residual or "NaN or infinity"
            yield self.record("pruned", node, text=step.text, why=f"critic returned {said}, not in [-1, 1]")
            return
        if isinstance(step, Step) and residual <= self.prune_below:  # a plan has not read anything yet
            yield self.record("pruned", node, text=step.text, why="adds nothing")
            return
        child = node.add_child(
            step.text, residual, self.v_min, id=len(self.nodes), terminal=step.final, copies=copies, state=step
        )
        self.nodes.append(child)
        data: dict[str, Any] = {"parent": node.id, "text": child.text, "residual": residual, "value": child.value}
        data |= {"plan": list(step.steps)} if isinstance(step, DrawnPlan) else {}
        yield self.record("added", child, **data, terminal=child.terminal)
        if child.terminal:
            self.answer = child if self.answer is None else max(self.answer, child, key=lambda each: each.value)
            yield self.record("answered", child, answer=child.text, value=child.value)


class Frontier:
    """The nodes that can be expanded and paid for: their ids, what they promise, and how often each was expanded, (N,).

    What was seen of a node is kept, because to look at all n nodes in every turn would take n^2 looks. It can change
    when the node or one below it is expanded, and for all nodes at once when the tool calls run out or come back.
    """

    tree: Expansion
    max_widen: int
    calls: bool
    ids: NDArray[np.intp]
    values: NDArray[np.float64]
    visits: NDArray[np.int64]

    def __init__(self, tree: Expansion, max_widen: int):
        self.tree, self.max_widen, self.calls = tree, max_widen, True
        self._payable, self._values, self._visits = array("b"), array("d"), array("q")  # of all nodes, by id
        self.update(tree.root)

    def __len__(self) -> int:
        return len(self.ids)

    def update(self, node: TreeNode) -> None:
        """Look again at what changed when `node` was expanded."""
        tree, known = self.tree, len(self._values)
        calls, self.calls = self.calls, tree.ledger.left("tool_calls", "tool") >= 1
        for column in (self._payable, self._values, self._visits):
            column.extend([0] * (len(tree.nodes) - known))
        changed = [*node.path(), *tree.nodes[known:]] if calls == self.calls else tree.nodes
        for each in changed:
            self._payable[each.id] = self._can_expand(each)
            if self._payable[each.id]:
                self._values[each.id], self._visits[each.id] = tree.promise(each), each.expansions
        # Copies: a column that numpy still looks at, from a frame that a profiler holds, could not grow.
        payable, values, visits = np.array(self._payable), np.array(self._values), np.array(self._visits)
        self.ids = np.flatnonzero(payable)
        self.values, self.visits = values[self.ids], visits[self.ids]

    def _can_expand(self, node: TreeNode) -> bool:
        tree, narrow = self.tree, node.expansions < self.max_widen
        return narrow and tree.is_open(node) and tree.depth(node) < tree.max_depth and not tree.short_of(node)


def as_row(sample: Sample) -> list[Any]:
    """A sample in an event."""
    return [sample.text, sample.tokens, list(sample.logprobs), sample.finished]
