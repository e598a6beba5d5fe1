"""Peers on the same meter: TreeQuest and llm-reasoners choose which node to expand, all else is ours.

    pip install "treequest>=0.3.3,<0.4"
    pip install --no-deps "llm-reasoners>=1.0.2,<1.1"

The peer holds a tree of its own whose states are our nodes, and asks for children of one of them. Every page, token and
judgment goes through `Expansion`, so through our ledger, and the answer is chosen by our rule "best". What the peer
learns of a node is V, moved from [v_min, 1] to [0, 1]. Samples are keyed by (seed, prompt, number) as everywhere.

No peer has a budget, and all but the beam would go on forever. A search ends when an answer of value `stop_value` is
in hand (no later one can beat it), when nothing can be paid for, when the beam is done, or when the peer has asked
`patience` times in a row for what costs nothing: it is stuck on answers that it has. `restart` then begins again on an
empty tree of the peer's, with fresh samples, until the budget is spent. The peers' own way is to stop.

Not here: TreeQuest's AB-MCTS-M, which fits a mixed model by MCMC at every step and needs PyMC.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import count
from typing import Any, ClassVar

import numpy as np

from bavt_minimal import Budget, LogProbCritic, TreeNode
from bavt_minimal.checks import check_choice, check_count, check_range
from bavt_minimal.critic import Critic
from bavt_minimal.expansion import Expansion
from bavt_minimal.searcher import Searcher
from bavt_minimal.steps import LanguageModel, Plan, Tool, normalize
from bavt_minimal.trace import Event, Events, Trace

Settings = Mapping[str, Any]
INSTALL = {
    "treequest": 'pip install "treequest>=0.3.3,<0.4"',
    # Its declared dependencies (bitsandbytes, fairscale, cloud clients) serve its models, not its searches.
    "llm-reasoners": 'pip install --no-deps "llm-reasoners>=1.0.2,<1.1"',
}
# llm-reasoners takes functions from a list of rewards to one number; a trace's header wants names.
RULES: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "mean": lambda rewards: float(np.mean(rewards)),
    "max": max,
    "last": lambda rewards: rewards[-1],
}


class PeerSearch(Searcher):
    """A search whose tree policy is a peer's.

    `settings` are the peer's own, by its own names. `options` go to `Generator`. Plans are given: the peers plan none.
    """

    package = ""  # on PyPI
    known: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # algorithm -> the settings that it has

    def __init__(
        self,
        model: LanguageModel,
        critic: Critic | None = None,
        budget: Budget | int | None = None,
        tool: Tool | None = None,
        *,
        algorithm: str,
        settings: Settings | None = None,
        restart: bool = False,
        patience: int = 100,
        stop_value: float = 1.0,
        max_expansions: int = 2000,
        charge_prompt: bool = False,
        **options: Any,
    ):
        super().__init__(model, critic or LogProbCritic(), budget, tool, charge_prompt, options)
        self.algorithm = check_choice("algorithm", algorithm, tuple(self.known))
        self.settings, self.restart = dict(settings or {}), bool(restart)
        for name in self.settings:
            check_choice(f"a setting of {algorithm}", name, self.known[algorithm])
        self.patience = check_count("patience", patience, least=1)
        self.stop_value = check_range("stop_value", stop_value, 0.0, 2.0)
        self.max_expansions = check_count("max_expansions", max_expansions)
        self.build(1)  # an unfit setting, or a package that is not there, is told now
        self.version = version(self.package)

    def build(self, max_depth: int) -> Any:
        """The peer's algorithm, nothing searched yet."""
        raise NotImplementedError

    def round(self, tree: Expansion, number: int) -> Events:
        """Let the peer search until it is stuck or the search is over. `number` counts the restarts."""
        raise NotImplementedError

    def run(self, question: str, max_depth: int = 10, plan: Plan = None, resume: Trace | None = None) -> Events:
        """One event at a time."""
        tree = self.start(question, max_depth, plan, resume, Budget(0, 0))
        yield tree.record("started", tree.root, **tree.trace.header)
        try:
            reason = self.over(tree)
            for number in count():
                if reason:
                    break
                calls = len(tree.ledger.rows)
                yield from self.round(tree, number)
                reason = self.over(tree)
                if not self.restart or len(tree.ledger.rows) == calls:
                    reason = reason or "exhausted"
        except BaseException as error:
            self.fail(tree, error)
            raise
        yield self.stop(tree, reason)

    def over(self, tree: Expansion) -> str:
        """Why nothing more is to be done, whatever the peer wants; "" if there is."""
        if any(node.terminal and node.value >= self.stop_value for node in tree.nodes):
            return "answered"
        if tree.ledger.left("tokens", "generator") < 1 + tree.judge_tokens:
            return "tokens"
        if sum(node.expansions for node in tree.nodes) >= self.max_expansions:
            return "exhausted"
        if any(self.can_expand(tree, node) for node in tree.nodes):
            return ""
        short = {tree.short_of(node) for node in tree.nodes if tree.is_open(node) and tree.depth(node) < tree.max_depth}
        return min(short.union(tree.closed.values()), default="depth")

    def can_expand(self, tree: Expansion, node: TreeNode) -> bool:
        """Whether children of a node can be drawn and paid for. The peers know of no node that takes no children."""
        return tree.is_open(node) and tree.depth(node) < tree.max_depth and not tree.short_of(node)

    def score(self, node: TreeNode) -> float:
        """V of a node, moved from [v_min, 1] to [0, 1]."""
        return (node.value - self.v_min) / (1.0 - self.v_min)

    def select(self, tree: Expansion, node: TreeNode) -> Event:
        """The peer's choice as an event. It tells no odds: given its draws the choice is certain."""
        frontier = sum(self.can_expand(tree, each) for each in tree.nodes)
        return tree.record("selected", node, chance=1.0, frontier=frontier, ratio=tree.ledger.ratio())


class TreeQuestSearch(PeerSearch):
    """TreeQuest (Sakana AI): "abmcts-a", AB-MCTS with node aggregation, or "mcts", UCT.

    Both ask for one child at a time. AB-MCTS-A walks down by Thompson sampling and at each node draws between a new
    child and the ones there are, so it widens without limit. MCTS draws `samples_per_action` children once and never
    widens a node again. Neither compares siblings and neither knows of answers, depth limits or failures:

    - a step that a sibling already has is, with `duplicates="again"`, what it is to the peer: a further node with the
      score of the first, expanded in its own right (in our tree they are one, and nothing is judged twice). With
      "nothing" it is no step. That is not the peer's way but helps it: it learns where nothing new comes;
    - a draw that is no step (unfinished, empty, a repeat) is a node of score 0 without a future;
    - a node that takes no children (an answer, too deep, a page that cannot be paid for) costs nothing. AB-MCTS-A is
      asked again, which conditions its draw on nodes that can grow. MCTS would choose the same, so it backs the
      answer's score up once more, as is usual for terminal states, or 0 if the node is no answer.

    Settings of "abmcts-a": `dist_type` ("gaussian" or "beta") and `prior`, that distribution's parameters (m, kappa,
    nu, tau_square or a, b). Its `reward_average_priors` and `model_selection_strategy` choose among several actions
    and change nothing with one. Settings of "mcts": `samples_per_action`, `exploration_weight`.
    """

    package = "treequest"
    known: ClassVar = {"abmcts-a": ("dist_type", "prior"), "mcts": ("samples_per_action", "exploration_weight")}

    def __init__(self, *args: Any, duplicates: str = "again", **options: Any):
        self.duplicates = check_choice("duplicates", duplicates, ("again", "nothing"))
        super().__init__(*args, **options)

    def build(self, max_depth: int) -> Any:
        """TreeQuest's algorithm; it has no depth limit."""
        module, settings = load("treequest", self.package), dict(self.settings)
        if self.algorithm == "mcts":
            return module.StandardMCTS(**settings)
        if "prior" in settings:
            configs = load("treequest.algos.ab_mcts_a.prob_state", self.package)
            config = configs.PriorConfig(settings.setdefault("dist_type", "gaussian"), dict(settings.pop("prior")))
            config.get_params()  # names are checked only when the first node is made
            settings["prior_config"] = config
        return module.ABMCTSA(**settings)

    def round(self, tree: Expansion, number: int) -> Events:
        """Ask which node to expand, expand it by one step, tell the score."""
        algorithm, idle = self.build(tree.max_depth), 0
        state, nothing = algorithm.init_tree(), TreeNode("", value=self.v_min, terminal=True)
        for step in count():
            if idle > self.patience or self.over(tree):
                return
            with numpy_seed(self.generator.seed, number, step):
                state, trial = algorithm.ask(state, ["step"])
            node = trial.parent_state or tree.root
            if self.can_expand(tree, node):
                idle = 0
                yield self.select(tree, node)
                child = (yield from self._grow(tree, node)) or nothing
            else:
                idle += 1
                if self.algorithm == "abmcts-a":
                    continue
                child = node if node.terminal else nothing
            state = algorithm.tell(state, trial.trial_id, (child, self.score(child)))

    def _grow(self, tree: Expansion, node: TreeNode) -> Generator[Event, None, TreeNode | None]:
        """Draw one step: the new child, or the sibling that says the same, or None if nothing came of it."""
        known, said = len(tree.nodes), None
        for event in tree.expand(node, 1):
            yield event
            if event.data.get("why") == "duplicate" and self.duplicates == "again":
                said = normalize(event.data["text"])
        if len(tree.nodes) > known:
            return tree.nodes[-1]
        return next((child for child in node.children if normalize(child.text) == said), None)


class ReasonersSearch(PeerSearch):
    """llm-reasoners (Maitrix): "mcts", the MCTS of RAP, or "beam", step-level beam search.

    Both draw `num_candidates` children of a node at once and never widen it again; one that got none is tried again by
    "mcts" and given up by "beam". Both know answers and a depth limit. Reward and fast reward of a step are its score:
    the critic has judged all siblings when the peer asks. Steps that a sibling has are dropped, as the library's own
    examples do in `get_actions`.

    - "mcts" rolls out to an answer or the depth limit in each iteration, drawing children at every new node on the
      way, along the best of them (`simulate_strategy` "max"). An iteration that ends in a known answer costs nothing,
      and once every node has its children all iterations do: the peer's `n_iters` would end it, here `patience` does.
    - "beam" keeps the `beam_size` best steps of a depth, drops the others for good and ends when the beam is empty.
      Answers leave the beam. It draws nothing at random: the "stochastic" sampling of 1.0.2 raises an IndexError
      unless `unbiased`, and `action_dedup` an UnboundLocalError.

    With `restart` a node has the children of earlier rounds and `num_candidates` further draws.

    Settings of "mcts": `w_exp`, `cum_reward` and `calc_q` (names in RULES: how rewards on the way from a node to the
    leaf become one, and how those of several iterations do), `simulate_strategy` ("max" or "random"),
    `uct_with_fast_reward`. Settings of "beam": `beam_size`, `reward_aggregator` ("last", "mean" or "cumulative").
    """

    package = "llm-reasoners"
    known: ClassVar = {
        "mcts": ("w_exp", "cum_reward", "calc_q", "simulate_strategy", "uct_with_fast_reward"),
        "beam": ("beam_size", "reward_aggregator"),
    }

    def __init__(self, *args: Any, num_candidates: int = 3, **options: Any):
        self.num_candidates = check_count("num_candidates", num_candidates, least=1)
        super().__init__(*args, **options)

    def build(self, max_depth: int) -> Any:
        """The library's algorithm. MCTS gets no iterations: they are run one by one, until the budget is spent."""
        module, settings = load("reasoners.algorithm", self.package), dict(self.settings)
        if self.algorithm == "beam":
            rules = ("last", "mean", "cumulative")
            check_choice("reward_aggregator", settings.get("reward_aggregator", "last"), rules)
            settings["beam_size"] = check_count("beam_size", settings.get("beam_size", 3), least=1)
            return module.BeamSearch(max_depth=max_depth, **settings)
        check_choice("simulate_strategy", settings.get("simulate_strategy", "max"), ("max", "random"))
        for name in {"cum_reward", "calc_q"}.intersection(settings):
            settings[name] = RULES[check_choice(name, settings[name], tuple(RULES))]
        return module.MCTS(depth_limit=max_depth, n_iters=0, **settings)

    def round(self, tree: Expansion, number: int) -> Events:
        """One beam search, or one MCTS for as long as it costs anything."""
        algorithm, steps = self.build(tree.max_depth), Steps(self, tree)
        events, idle = tree.trace.events, 0
        shown = len(events)
        algorithm(steps, steps)  # a whole beam search; of MCTS only the root
        yield from events[shown:]
        if self.algorithm == "beam":
            return
        for step in count():
            if idle > self.patience or self.over(tree):
                return
            shown = len(events)
            with numpy_seed(self.generator.seed, number, step):
                algorithm.iterate(algorithm.root)
            idle = 0 if len(events) > shown else idle + 1
            yield from events[shown:]


@dataclass(frozen=True)
class Steps:
    """World model and search configuration of llm-reasoners in one: states are our nodes, and so are actions."""

    search: ReasonersSearch
    tree: Expansion

    def init_state(self) -> TreeNode:
        """The root."""
        return self.tree.root

    def step(self, state: TreeNode, action: TreeNode) -> tuple[TreeNode, dict[str, Any]]:
        """To act is to go to the child."""
        return action, {}

    def is_terminal(self, state: TreeNode) -> bool:
        """Whether a node is an answer."""
        return state.terminal

    def get_actions(self, state: TreeNode) -> list[TreeNode]:
        """Children of a node, drawn and judged if that can be paid for. The only place that spends."""
        if not self.search.over(self.tree) and self.search.can_expand(self.tree, state):
            self.search.select(self.tree, state)
            for _ in self.tree.expand(state, self.search.num_candidates):
                pass  # the trace keeps the events; `round` passes them on
        return list(state.children)

    def fast_reward(self, state: TreeNode, action: TreeNode) -> tuple[float, dict[str, Any]]:
        """What the critic said when the step was drawn."""
        return self.search.score(action), {}

    def reward(self, state: TreeNode, action: TreeNode, **details: Any) -> tuple[float, dict[str, Any]]:
        """The same: nothing more is learned by going there."""
        return self.search.score(action), {}


def load(module: str, package: str) -> Any:
    """Import a peer. Raises ImportError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{package} cannot be imported ({error}); try: {INSTALL[package]}") from error


@contextmanager
def numpy_seed(*key: int) -> Iterator[None]:
    """The peers draw from numpy's global generator: seed it for one decision, then give it back as it was."""
    before = np.random.get_state()
    np.random.seed(np.random.SeedSequence(key).generate_state(4))
    try:
        yield
    finally:
        np.random.set_state(before)


# What is tuned on dev worlds; the first of each is the peer's default.
GRID: dict[str, list[dict[str, Any]]] = {
    "TreeQuest AB-MCTS-A": [
        {"duplicates": duplicates, "settings": {"dist_type": kind, "prior": prior}}
        for duplicates in ("again", "nothing")
        for kind, priors in {
            "gaussian": [{"m": m, "tau_square": spread} for m in (0.0, 0.5) for spread in (0.1, 0.01)],
            "beta": [{"a": a, "b": a} for a in (0.5, 1.0, 2.0)],
        }.items()
        for prior in priors
    ],
    "TreeQuest MCTS": [
        {
            "restart": restart,
            "duplicates": duplicates,
            "settings": {"samples_per_action": samples, "exploration_weight": weight},
        }
        for restart in (False, True)
        for duplicates in ("again", "nothing")
        for samples in (2, 3, 5)
        for weight in (2**0.5, 0.5)
    ],
    "llm-reasoners MCTS": [
        {
            "restart": restart,
            "num_candidates": k,
            "settings": {"w_exp": weight, "cum_reward": cum_reward, "calc_q": calc_q},
        }
        for restart in (False, True)
        for k in (3, 5)
        for weight in (1.0, 0.3)
        for cum_reward, calc_q in (("sum", "mean"), ("mean", "max"), ("last", "mean"))  # default, RAP's, value backup
    ],
    "llm-reasoners beam": [
        {"restart": restart, "num_candidates": k, "settings": {"beam_size": width}}
        for restart in (False, True)
        for k in (3, 5, 2)
        for width in (3, 1, 5)
    ],
}
PEERS: dict[str, tuple[str, type[PeerSearch], str]] = {
    "TreeQuest AB-MCTS-A": ("treequest", TreeQuestSearch, "abmcts-a"),
    "TreeQuest MCTS": ("treequest", TreeQuestSearch, "mcts"),
    "llm-reasoners MCTS": ("reasoners", ReasonersSearch, "mcts"),
    "llm-reasoners beam": ("reasoners", ReasonersSearch, "beam"),
}


def methods(chosen: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Callable[..., PeerSearch]]:
    """Name -> a builder that is called like `BudgetAwareValueTreeSearch`, for the peers that are installed.

    `chosen` gives an entry of GRID for a name; without one the peer has its defaults.
    """
    chosen = chosen or {}
    for name in chosen:
        check_choice("a peer's name", name, tuple(PEERS))
    return {
        name: partial(kind, algorithm=algorithm, **chosen.get(name, {}))
        for name, (module, kind, algorithm) in PEERS.items()
        if find_spec(module)
    }
