"""Checks of 04_the_search. The search of the module is the reference wherever there is one to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from traceback import walk_tb
from typing import Any
from unittest.mock import patch

from bavt_minimal import Budget, BudgetExceeded, Ledger, TreeNode
from bavt_minimal.benchmark.simulator import QUESTION, Setting, World, tree
from bavt_minimal.critic import LogProbCritic
from bavt_minimal.models import ScriptedModel
from bavt_minimal.residual import chance
from bavt_minimal.steps import Generator, Step, normalize

from . import exercise

# What the notebook gives, for the states that the checks make


@dataclass
class State:
    """What a search knows: the fields of the notebook's `State`."""

    generator: Generator
    critic: Any
    ledger: Ledger
    nodes: list[TreeNode] = field(default_factory=lambda: [TreeNode("question")])


def begin(world: World) -> State:
    """A search on a world before its first step."""
    size = world.setting.tokens_per_step
    generator = Generator(world, world.page, examples="", seed=world.seed, max_new_tokens=size).start(world.plan)
    return State(generator, world.judge, Ledger(world.setting.budget, backstop=Budget(size, 1)))


def texts(node: TreeNode) -> list[str]:
    """The answers to the sub-questions so far."""
    return [each.text for each in node.path()[1:]]


def draw(state: State, node: TreeNode, k: int, role: str = "") -> list[Step]:
    """Read the page of a node and draw k steps; both are paid for. Without a token for a step no page is read."""
    if state.ledger.left("tokens", role or "generator") < 1:
        raise BudgetExceeded("tokens", 1, 0)
    state.generator.read(texts(node), state.ledger, role or "tool")
    prompt = state.generator.prompt(texts(node), state.ledger)
    return state.generator.propose(texts(node), prompt, k, state.ledger, role or "generator")


def can_pay(state: State, node: TreeNode) -> bool:
    """Whether the page of a node has been read or can be."""
    return not state.generator.needs_tool(texts(node)) or state.ledger.left("tool_calls", "tool") >= 1


def promise(state: State, node: TreeNode) -> float:
    """V, times the chance that the best of the children is wrong."""
    best = max((chance(child.residual_value, state.critic.scale) for child in node.children), default=0.0)
    return max(0.05, node.value * (1.0 - best))


# The checks


@exercise
def check_frontier(frontier: Callable[..., Sequence[TreeNode]]) -> str:
    """The reader's frontier: (nodes, max_widen) -> the nodes that can be expanded."""
    root = TreeNode("root", expansions=2)
    full = root.add_child("expanded 3 times", 0.3, expansions=3)
    over = root.add_child("expanded 4 times", 0.3, expansions=4)
    rich = root.add_child("expanded once, three children", 0.1, expansions=1)
    deep = root.add_child("expanded once, one child", 0.1, expansions=1)
    middle = deep.add_child("below that", 0.1, expansions=1)
    leaf = root.add_child("leaf", -0.2)
    dry = root.add_child("expanded twice, all was dropped", 0.2, expansions=2)
    spent = root.add_child("expanded 3 times, all was dropped", 0.2, expansions=3)
    parents = (full, over, rich, rich, rich, middle, middle, root)
    ends = [parent.add_child(f"answer {n}", 0.0, terminal=True) for n, parent in enumerate(parents)]
    right = [root, rich, deep, middle, leaf, dry]
    found = frontier([root, full, over, rich, deep, middle, leaf, dry, spent, *ends], 3)
    if not isinstance(found, (list, tuple)):
        return f"Return a list, which can be read twice; yours is a {type(found).__name__}."
    if any(not isinstance(node, TreeNode) for node in found):
        return "Return the nodes themselves, in a list."
    if found == right:
        return "Right."
    if any(node.terminal for node in found):
        return f"{next(n for n in found if n.terminal).text!r} is final: an answer has nothing below it."
    if found == [leaf]:
        return "This keeps what was never expanded. A node may be expanded again: that is widening."
    if found == [leaf, dry, spent]:
        return "This keeps leaves only. A node that has children may get more of them: that is widening."
    if full in found and rich not in found:
        counted = "children" if deep in found else "visits, which are the nodes below"
        return f"Count expansions, not {counted}: an expansion that came to nothing used the budget too."
    wrong = [node.text for node in (full, over, spent) if node in found]
    if wrong == [spent.text]:
        return "A node without children is closed too, once it was expanded max_widen times and nothing came of it."
    if wrong:
        return f"With max_widen = 3 these cannot be expanded again: {', '.join(wrong)}."
    if len(found) == len(right) and all(node in found for node in right):
        return "The right nodes, but keep their order: the draw that follows depends on it."
    missing = [node.text for node in right if node not in found]
    return f"Missing from the frontier: {', '.join(missing) or 'nothing'}."


class Watching:
    """A critic that remembers what it was asked."""

    def __init__(self, critic: Any):
        self.critic, self.scale, self.asked, self.calls = critic, critic.scale, [], 0

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """The critic's residuals; 0 for an empty step."""
        self.asked += [step.text for step in steps]
        self.calls += 1
        return [self.critic([step], ledger)[0] if step.text else 0.0 for step in steps]


@exercise
def check_expand(expand: Callable[..., object]) -> str:
    """The reader's expansion: (state, node, k, role) -> children of node."""
    for seed in range(12):
        world = World(Setting(depth=2, p=0.4, wrong=3, dead=0.6, tokens=400, auc=0.8), seed)
        state = begin(world)
        state.critic = watching = Watching(world.judge)
        root, drawn = state.nodes[0], {}
        for node_path, k, role in (("s", 4, ""), ("s", 3, ""), ("s1", 3, ""), ("s0", 3, ""), ("s", 2, "backstop")):
            found = [node for node in [root, *root.children] if (texts(node) or ["s"])[-1] == node_path]
            if not found:
                continue
            node, asked, before = found[0], len(watching.asked), len(found[0].children)
            watching.calls = 0
            first = drawn.get(node_path, 0)
            drawn[node_path] = first + k
            steps = world_draws(world, node_path, first, k)
            known = [] if role else [normalize(child.text) for child in node.children]
            fresh = []
            for text in steps:
                if text and (role or text not in known):
                    known.append(text)
                    fresh.append(text)
            times = node.expansions
            expand(state, node, k, role)
            said = compare_expansion(world, state, node, before, fresh, steps, watching.asked[asked:], times, role)
            if said:
                return said
            if watching.calls > 1:
                return f"The critic was called {watching.calls} times for {fresh}: ask about all of them in one call."
            if role and state.ledger.rows[-1].role != role:
                return f"The steps were charged to {state.ledger.rows[-1].role!r}: pass role on to draw."
    return same_words(expand) or "Right."


def same_words(expand: Callable[..., object]) -> str:
    """Whether steps are compared by what they say, not by how they are written."""
    model = ScriptedModel({}, {"Rome": 1.0, "rome.": 1.0, "the Rome": 1.0, "Oslo": 1.0})
    generator = Generator(model, examples="", seed=1).start(("Where?", "Where from #1?"))
    state = State(generator, LogProbCritic(), Ledger(Budget(400)))
    expand(state, state.nodes[0], 8)
    said = [child.text for child in state.nodes[0].children]
    if len({normalize(text) for text in said}) < len(said):
        return f"The children {said} do not all say different things: compare with normalize."
    for child in list(state.nodes[0].children):
        expand(state, child, 8)
        below = {normalize(each.text) for each in child.children}
        if normalize(child.text) in below:
            return f"Below {child.text!r} the step {child.text!r} was added again: step.fault() knows the path."
        if not below:
            return (
                f"Below {child.text!r} nothing was added, because another node of the tree says it already. "
                "A copy is what another child of the *same* node says."
            )
    return ""


def world_draws(world: World, path: str, first: int, k: int) -> list[str]:
    """What a world says in a state: draws `first` .. `first + k - 1`."""
    question = "Where to?" if path == "s" else f"Then {path}?"
    return [sample.text for sample in world.sample(f"Question: {question}\nAnswer:", k, first=first)]


def compare_expansion(
    world: World,
    state: State,
    node: TreeNode,
    before: int,
    fresh: list[str],
    steps: list[str],
    asked: list[str],
    times: int,
    role: str,
) -> str:
    """What is wrong with an expansion; "" if nothing is."""
    new = node.children[before:]
    said = [child.text for child in new]
    if not new and fresh:
        if role:
            return "The backstop has to go on from a step that is known: with role 'backstop' a copy is not dropped."
        return f"Drawn were {steps}, and the node got no children."
    if "" in said:
        return "An empty step was added. step.fault() says why a step is worth nothing."
    if said != fresh:
        if role:
            return f"With role 'backstop' copies are kept: expected {fresh}, got {said}."
        if len(set(said)) < len(said):
            return f"Two children say the same: drawn were {steps}, added {said}."
        if any(text in [child.text for child in node.children[:before]] for text in said):
            return f"Added {said}, though the node had a child that says the same from an earlier expansion."
        return f"Drawn were {steps}; the children should be {fresh}, and are {said}."
    if len(asked) > len(fresh):
        return f"The critic was asked about {asked}, of which only {fresh} are added: drop first, then judge."
    right = [world.judge([ask], state.ledger)[0] for ask in map(as_step, fresh)]
    found = [child.residual_value for child in new]
    if not all(math.isclose(a, b) for a, b in zip(found, right, strict=True)):
        if all(math.isclose(a, found[0]) for a in found):
            return f"All children {said} got the residual of the first: that is the guide's mistake in another form."
        if len(asked) < len(fresh):
            return f"Of the children {said} the critic was asked about {asked} only."
        return f"The residuals of {said} are {[round(x, 2) for x in right]}, yours {[round(x, 2) for x in found]}."
    if [child.terminal for child in new] != [len(text) == 1 + len(world.plan) for text in said]:
        return "A step that answers the last sub-question is an answer: pass terminal=step.final."
    if node.expansions != times + 1:
        return "Count the expansion: node.expansions += 1, or the frontier cannot tell how wide a node is."
    if any(child not in state.nodes for child in new):
        return "The new children belong into state.nodes too, or nobody will ever find them."
    return ""


def as_step(text: str) -> Any:
    """As much of a step as a world's judge looks at."""
    return type("Text", (), {"text": text})()


@exercise
def check_case(case: Sequence[Sequence[float]]) -> str:
    """Two chains of residuals: V ranks the first one's end higher, the guide's mean its beginning lower."""
    if len(case) != 2 or not all(isinstance(chain, (list, tuple)) for chain in case):
        return "Give two lists of residuals: ([...], [...])."
    if not all(case):
        return "A chain needs at least one step."
    if any(not -0.4 <= residual <= 0.4 for chain in case for residual in chain):
        return "A residual of this critic lies between -0.4 and 0.4."
    (one, other), means = (value_at_end(chain) for chain in case), [sum(chain) / len(chain) for chain in case]
    numbers = f"V at the ends: {one:.2f} and {other:.2f}; means: {means[0]:.2f} and {means[1]:.2f}."
    if math.isclose(one, other):
        full = one == 1.0
        return f"{numbers} The two ends are worth the same" + (": both are clipped at 1." if full else ".")
    if one < other:
        return f"{numbers} The first chain has to be the one that V prefers."
    if math.isclose(*means):
        return f"{numbers} Close: with equal means the guide's rule prefers neither. It should prefer the second."
    if means[0] > means[1]:
        return f"{numbers} Both prefer the first. Make its last step one that helps less than the others."
    return "Right."


def value_at_end(residuals: Sequence[float]) -> float:
    """V after a chain of residuals."""
    value = 0.5
    for each in residuals:
        value = min(1.0, max(0.05, value + each))
    return value


@exercise
def check_backstop(backstop: Callable[..., object]) -> str:
    """The reader's backstop: (state, expand) -> an answer among the nodes, if it can be paid for."""
    for tokens, calls, chains in SHORT:
        world = World(Setting(depth=3, p=0.5, wrong=3, dead=0.0, tokens=tokens, tool_calls=calls), 1)
        state = begin(world)
        for chain in chains:
            node = state.nodes[0]
            for text, residual in chain:
                same = [child for child in node.children if child.text == text]
                node = same[0] if same else node.add_child(text, residual)
                state.nodes += [] if same else [node]
        said = run_backstop(backstop, state)
        if said:
            return said
    world = World(Setting(depth=2, p=1e-6, wrong=1, dead=1.0, tokens=10**5), 0)  # below its first step all is empty
    return run_backstop(backstop, begin(world)) or "Right."


S0, S1, S10 = ("s0", 0.3), ("s1", -0.3), ("s10", -0.1)
# Tokens, tool calls, and the tree that a search has when it has to stop.
SHORT = (
    (4, None, ()),
    (12, None, ((S0,), (S1, S10))),
    (12, None, ((S1,), (S0,))),
    (12, 1, ((S1,), (S0,))),
    (12, 0, ((S0,),)),
    (0, None, ()),
    (40, None, ((S1,), (S0,))),
)


def run_backstop(backstop: Callable[..., object], state: State) -> str:
    """What is wrong with a backstop; "" if nothing is."""
    calls: list[tuple[TreeNode, int, str]] = []
    right = expected_backstop(state)
    tree_before = [node.text for node in state.nodes]

    def expand(state: State, node: TreeNode, k: int, role: str = "") -> None:
        calls.append((node, k, role))
        if len(calls) > 500:
            raise RecursionError
        for step in draw(state, node, k, role):
            if not step.fault():
                residual = state.critic([step], state.ledger)[0]
                state.nodes.append(node.add_child(step.text, residual, terminal=step.final))

    budget = f"{state.ledger.budget.tokens} tokens and {state.ledger.budget.tool_calls} tool calls (None: no limit)"
    try:
        backstop(state, expand)
    except BudgetExceeded:
        return f"With {budget} it raised BudgetExceeded: catch it, and try no more to go on from that node."
    except RecursionError:
        return "It never ends where every draw is empty: allow 8 tries for each step of the plan."
    if not calls and right:
        return f"With {budget} it never called expand, though a step could be tried."
    if any(k != 1 for _, k, _ in calls):
        return "One step at a time: what is left has to reach the end of the plan."
    if any(role != "backstop" for _, _, role in calls):
        return "Say who pays: expand(state, node, 1, 'backstop')."
    if state.ledger.left("tokens", "generator") != state.ledger.left("tokens"):
        return "Call state.ledger.release_backstop() first: what was set aside is for this."
    went = [node.text for node, _, _ in calls]
    if went[: len(right)] == right and len(went) > len(right):
        return f"With {budget} it has an answer and goes on from {went[len(right)]!r}: stop at the first one."
    if went != right:
        where = f"From the steps {tree_before[1:]}, with {budget}, it should try {right}, and tries {went}."
        if right[: len(went)] == went:
            return (
                f"{where} When one node cannot be paid for, another one may be; and there are 8 tries for each step of "
                "the plan, all nodes together."
            )
        first = next(i for i, (a, b) in enumerate(zip(went, right, strict=False)) if a != b)
        if first == 0 and len(tree_before) == 4:
            return f"{where} Go on from the furthest node, whatever its value: it needs the fewest steps."
        if first and went[first] == went[first - 1]:
            return f"{where} Is a node that raised BudgetExceeded left out from then on?"
        return f"{where} Of equally deep nodes take the one of the higher value."
    return ""


def expected_backstop(state: State) -> list[str]:
    """The texts of the nodes that the backstop has to expand, in order: counted without a ledger or a tree."""
    world: Any = state.generator.model
    length, size = len(world.plan), world.setting.tokens_per_step
    tokens, calls = state.ledger.left("tokens"), state.ledger.left("tool_calls")
    places = [(node.depth, node.value, node.text if node.depth else "s") for node in state.nodes]
    tried: list[str] = []
    closed: set[int] = set()
    read: set[str] = set()
    for _ in range(8 * length):
        usable = [number for number in range(len(places)) if number not in closed]
        if not usable or any(depth == length for depth, _, _ in places):
            break
        number = max(usable, key=lambda each: places[each][:2])
        depth, value, path = places[number]
        tried.append(path if depth else "question")
        if tokens < 1 or (path not in read and calls < 1):
            closed.add(number)
            continue
        calls -= path not in read
        read.add(path)
        text = world_draws(world, path, tried.count(tried[-1]) - 1, 1)[0]
        if text and tokens >= size:
            residual = world.judge([as_step(text)], state.ledger)[0]
            places.append((depth + 1, min(1.0, max(0.05, value + residual)), text))
        tokens -= min(tokens, size)
    return tried


CASES = (
    (Setting(depth=3, p=0.4, wrong=3, auc=0.9, tokens=96), 3),
    (Setting(depth=3, p=0.4, wrong=3, auc=0.9, tokens=30), 3),
    (Setting(depth=2, p=0.4, wrong=3, auc=0.8, tokens=60, tool_calls=3), 2),
    (Setting(depth=4, p=0.5, wrong=2, auc=0.9, tokens=18), 3),
    (Setting(depth=2, p=0.5, wrong=3, auc=1.0, tokens=80), 4),
    (Setting(depth=2, p=0.3, spread=0.6, wrong=2, dead=0.7, auc=0.9, tokens=120), 3),
    (Setting(depth=2, p=0.5, tokens=0), 3),
    (Setting(depth=3, p=0.3, wrong=3, auc=0.8, tokens=160, tool_calls=2), 3),  # lookups end before tokens do
    (Setting(depth=2, p=0.4, wrong=3, auc=0.6, tokens=60), 3),  # the answer of the highest V is not the likeliest step
)


@exercise
def check_search(search: Callable[..., Any]) -> str:
    """The reader's search against the module's, on worlds of several settings: (world, k) -> answer, reason, state."""
    for seed in range(6):
        for setting, k in CASES:
            calls = "" if setting.tool_calls is None else f", {setting.tool_calls} tool calls"
            where = f"With {setting.tokens} tokens{calls}, {setting.depth} steps to the answer and k = {k}:"
            try:
                with few_looks():
                    found = search(World(setting, seed), k)
            except BudgetExceeded:
                return (
                    f"{where} it raised BudgetExceeded. Select only among nodes for which can_pay is true, and ask "
                    "`reason` anew in each turn."
                )
            except RecursionError:
                return f"{where} it never ends: `select` must not see the nodes for which can_pay is false."
            except IndexError:
                return (
                    f"{where} it went on from an answer. Select among `frontier(state.nodes)`; and does your my_expand "
                    "pass terminal=step.final?"
                )
            except NotImplementedError as error:
                *_, (frame, _) = walk_tb(error.__traceback__)
                if frame.f_code.co_name == "my_expand":
                    return (
                        "It calls my_expand, which is not written yet. Do that exercise first, or paste its solution."
                    )
                raise
            if not isinstance(found, tuple) or len(found) != 3:
                return "Return three things: the answer's text, the reason, and the state."
            if not hasattr(found[2], "nodes"):
                return f"The third thing is the state that `begin` made; yours is a {type(found[2]).__name__}."
            said = compare_search(found, World(setting, seed), k)
            if said:
                return f"{where} {said}"
    return "Right."


@contextmanager
def few_looks(most: int = 20_000) -> Iterator[None]:
    """A search that asks a ledger what is left more often than that goes in circles: RecursionError."""
    left, looks = Ledger.left, 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks > most:
            raise RecursionError
        return left(*args, **options)

    with patch.object(Ledger, "left", counted):
        yield


def compare_search(found: tuple[Any, ...], world: World, k: int) -> str:
    """The first difference from the module's search; "" if there is none."""
    answer, why, state = found
    result = tree(world, num_candidates=k).search(QUESTION, world.setting.depth, world.plan)
    right = [event.data for event in result.trace.events if event.kind == "added"]
    mine = state.nodes[1:]
    for number, (node, data) in enumerate(zip(mine, right, strict=False), 1):
        if (node.text, node.terminal) != (data["text"], data["terminal"]):
            where = f"step {number} is {node.text}, the module's {data['text']}."
            return (
                f"{where} Were k steps drawn, and was the node selected with `select`, from a frontier that was "
                "looked at anew before each draw?"
            )
        if not math.isclose(node.residual_value, data["residual"]):
            return f"the residual of {node.text} is {node.residual_value:+.2f}, should be {data['residual']:+.2f}."
        if not math.isclose(node.value, data["value"]):
            return f"V of {node.text} is {node.value:.2f}, should be {data['value']:.2f}: something changed it."
    if right and not mine:
        return "there is no step in state.nodes. Does your my_expand append the children to it?"
    if len(mine) < len(right):
        if result.forced and not any(node.terminal for node in mine):
            return (
                f"it stopped without an answer after {len(mine)} steps. The backstop adds {right[len(mine)]['text']}."
            )
        if not why:
            return f"it left the loop after {len(mine)} steps without a reason. Go on until `reason` names one."
        if any(node.terminal for node in mine) and why != result.reason:
            return f"it stopped ({why}) after {len(mine)} steps, an answer in hand. The module goes on to {len(right)}."
        return f"{len(mine)} steps, the module has {len(right)}: is the share given back once there is an answer?"
    if len(mine) > len(right):
        return f"it goes on after {len(right)} steps, where the module stops ({result.reason})."
    if why != result.reason:
        whole = " Ask `reason` about the whole frontier, not about what can be paid for." if why == "exhausted" else ""
        return f"it says that it stopped because of {why!r}; it was {result.reason!r}.{whole}"
    if answer != result.answer:
        if "->" in str(answer):
            return f"{answer!r} is a path. The answer is the text of its last step."
        ends = {node.text: round(node.value, 2) for node in mine if node.terminal}
        if answer in ends:
            return f"it says {answer}; of the answers {ends} the one of the highest V is {result.answer}."
        return f"it says {answer!r}, which is no answer but a step; the answers in hand are {ends}."
    if dict(state.ledger.spent) != dict(result.ledger.spent):
        return (
            f"spent {dict(state.ledger.spent)}, should be {dict(result.ledger.spent)}. Is the share that was set aside "
            "released as soon as there is an answer, whatever its value?"
        )
    return ""


# Searches for the leak test. Each takes (world, gold) and gives (answer, tokens used).


def honest(world: World, gold: str) -> tuple[str, int]:
    """Never looks at gold."""
    result = tree(world, stop_value=2.0).search(QUESTION, plan=world.plan)
    return result.answer, result.ledger.spent["tokens"]


def sure(world: World, gold: str) -> tuple[str, int]:
    """Never looks at gold, and is right in every world: the task is easy."""
    easy = World(Setting(depth=world.setting.depth, p=0.9, auc=1.0, tokens=96), world.seed)
    result = tree(easy).search(QUESTION, plan=easy.plan)
    return result.answer, result.ledger.spent["tokens"]


def stops_at_gold(world: World, gold: str) -> tuple[str, int]:
    """Ends as soon as it has found the gold answer, and gives the one that it would have given anyway."""
    search = tree(world, stop_value=2.0)
    result = search.search(QUESTION, plan=world.plan)
    used = result.ledger.spent["tokens"]
    for event in result.trace.events:
        if event.kind == "answered" and event.data["answer"] == gold:
            used = int(event.ledger["tokens"])
            break
    return result.answer, used


def picks_gold(world: World, gold: str) -> tuple[str, int]:
    """Picks the gold answer if it is among those found."""
    result = tree(world, stop_value=2.0).search(QUESTION, plan=world.plan)
    ends = [event.data["answer"] for event in result.trace.events if event.kind == "answered"]
    return gold if gold in ends else result.answer, result.ledger.spent["tokens"]


@exercise
def check_leaks(leaks: Callable[[Callable[..., tuple[str, int]]], object]) -> str:
    """The reader's test of a search for a leak: (search) -> whether what it does depends on the gold answer."""
    said = {search.__name__: leaks(search) for search in (honest, sure, stops_at_gold, picks_gold)}
    if any(type(each).__name__ not in ("bool", "bool_") for each in said.values()):
        return "Return True or False."
    found = {name: bool(each) for name, each in said.items()}
    if found == {"honest": False, "sure": False, "stops_at_gold": True, "picks_gold": True}:
        return "Right."
    told = golds_told(leaks)
    if not told:
        return f"It says {found['honest']} without having run the search."
    if all(len(golds) == 1 for golds in told.values()):
        return "It never tells a search a wrong gold answer: a leak is seen by what a search does with one." + (
            " Being right is no proof of a leak." if found["sure"] else ""
        )
    if found["sure"] or found["honest"]:
        return "It calls a search a leak that never looks at the gold answer."
    if len(told) == 1:
        return "It tries one world. A leak shows only where the gold answer was found, and another was preferred."
    if not found["stops_at_gold"]:
        return "It misses a search that ends early where it has found gold: the answer is the same, the bill is not."
    return "It misses a search that picks gold among the answers it found: the bill is the same, the answer is not."


def golds_told(leaks: Callable[..., object]) -> dict[int, set[str]]:
    """Which gold answers the reader's test tells a search, by the seed of the world."""
    told: dict[int, set[str]] = {}

    def listen(world: World, gold: str) -> tuple[str, int]:
        told.setdefault(world.seed, set()).add(gold)
        return "", 0

    leaks(listen)
    return told
