"""Right and wrong answers to the exercises of 04_the_search: check -> (right, {what is wrong: answer}).

The right ones are the notebook's solutions; `test_built_the_search.py` holds them against the module.
"""

import importlib

import numpy as np

from bavt_minimal import BudgetAware, BudgetExceeded
from bavt_minimal.selection import sample_index
from bavt_minimal.steps import normalize

# Given in the notebook, or written in an earlier one

given = importlib.import_module("checks.the_search")
begin, can_pay, draw, promise = given.begin, given.can_pay, given.draw, given.promise


def select(state, frontier):
    values, visits = [promise(state, node) for node in frontier], [node.expansions for node in frontier]
    chances = BudgetAware()(values, visits, state.ledger.ratio())
    number = sum(node.expansions for node in state.nodes)
    return frontier[sample_index(chances, len(frontier), np.random.default_rng((state.generator.seed, number)))]


def greedy_select(state, frontier):
    return max(frontier, key=lambda node: promise(state, node) * 0.85**node.expansions)


def reason(state, frontier):
    if any(node.value >= 1 for node in answers(state)):
        return "answered"
    if state.ledger.left("tokens", "generator") < 1:
        return "tokens"
    if any(can_pay(state, node) for node in frontier):
        return ""
    return "tool_calls" if frontier else "exhausted"


def never_answered(state, frontier):
    if state.ledger.left("tokens", "generator") < 1:
        return "tokens"
    return "" if any(can_pay(state, node) for node in frontier) else "exhausted"


def answers(state):
    return [node for node in state.nodes if node.terminal]


# The right answers


def frontier(nodes, max_widen=8):
    return [node for node in nodes if not node.terminal and node.expansions < max_widen]


def expand(state, node, k, role=""):
    node.expansions += 1
    known = [] if role == "backstop" else [normalize(child.text) for child in node.children]
    fresh = []
    for step in draw(state, node, k, role):
        text = normalize(step.text)
        if not step.fault() and text not in known:
            known += [] if role == "backstop" else [text]
            fresh.append(step)
    for step, residual in zip(fresh, state.critic(fresh, state.ledger), strict=True):
        state.nodes.append(node.add_child(step.text, residual, terminal=step.final))


def backstop(state, expand):
    state.ledger.release_backstop()
    closed = []
    for _ in range(8 * len(state.generator.plan)):
        usable = [node for node in state.nodes if not node.terminal and node not in closed]
        if not usable or any(node.terminal for node in state.nodes):
            return
        node = max(usable, key=lambda each: (each.depth, each.value))
        try:
            expand(state, node, 1, "backstop")
        except BudgetExceeded:
            closed.append(node)


def search(
    world,
    k=3,
    frontier=frontier,
    expand=expand,
    select=select,
    backstop=backstop,
    reason=reason,
    release=True,
    end=None,
):
    """The notebook's loop; the keywords are there to break it."""
    state = begin(world)
    while not (why := reason(state, frontier(state.nodes))):
        payable = [node for node in frontier(state.nodes) if can_pay(state, node)]
        expand(state, select(state, payable), k)
        if release and answers(state):
            state.ledger.release_backstop()
        if end is not None and answers(state):
            why = end
            break
    if not answers(state):
        backstop(state, expand)
    found = answers(state)
    best = max(found, key=lambda each: each.value) if found else max(state.nodes, key=lambda n: (n.depth, n.value))
    return (best.text if best.depth else ""), why, state


def leaks(search):
    from bavt_minimal.benchmark.simulator import Setting, World

    worlds = [World(Setting(depth=2, p=0.4, wrong=3, tokens=48), seed) for seed in range(30)]
    return any(search(world, world.answer) != search(world, "s99") for world in worlds)


# Mistakes


def first_child_only(state, node, k, role="", others="zero"):
    node.expansions += 1
    known = {normalize(child.text) for child in node.children}
    fresh = [step for step in distinct(draw(state, node, k, role)) if normalize(step.text) not in known]
    if fresh:
        first = state.critic(fresh[:1], state.ledger)[0]
        for i, step in enumerate(fresh):
            residual = first if i == 0 or others == "same" else 0.0
            state.nodes.append(node.add_child(step.text, residual, terminal=step.final))


def distinct(steps):
    found = {}
    for step in steps:
        if not step.fault():
            found.setdefault(normalize(step.text), step)
    return list(found.values())


def expand_with(
    judge_all=False,
    drop=True,
    known=True,
    faults=False,
    count=True,
    keep=True,
    final=True,
    copies=True,
    pays=True,
    same=normalize,
    tree=False,
    path=True,
    one_by_one=False,
):
    """An expansion with one thing wrong."""

    def broken(state, node, k, role=""):
        node.expansions += count
        drawn = draw(state, node, k, role if pays else "")
        seen = {same(child.text) for child in (state.nodes if tree else node.children)} if known else set()
        fresh = []
        for step in drawn:
            new = same(step.text) not in seen or not drop or (role == "backstop" and copies)
            if new and (faults or not step.fault() or (not path and step.fault() == "repeat")):
                seen.add(same(step.text))
                fresh.append(step)
        judged = dict(zip([s.text for s in drawn], state.critic(drawn, state.ledger), strict=True)) if judge_all else {}
        if judge_all:
            said = [judged[step.text] for step in fresh]
        elif one_by_one:
            said = [state.critic([step], state.ledger)[0] for step in fresh]
        else:
            said = state.critic(fresh, state.ledger)
        for step, residual in zip(fresh, said, strict=True):
            child = node.add_child(step.text, residual, terminal=step.final and final)
            if keep:
                state.nodes.append(child)

    return broken


def backstop_with(release=True, key=lambda node: (node.depth, node.value), k=1, role="backstop", close=True, stop=True):
    """A backstop with one thing wrong."""

    def broken(state, expand):
        if release:
            state.ledger.release_backstop()
        closed = []
        for _ in range(8 * len(state.generator.plan)):
            usable = [node for node in state.nodes if not node.terminal and node not in closed]
            if not usable or (stop and any(node.terminal for node in state.nodes)):
                return
            node = max(usable, key=key)
            try:
                expand(state, node, k, role)
            except BudgetExceeded:
                if not close:
                    raise
                closed.append(node)

    return broken


def endless_backstop(state, expand):
    state.ledger.release_backstop()
    closed = []
    while not any(node.terminal for node in state.nodes):
        usable = [node for node in state.nodes if not node.terminal and node not in closed]
        if not usable:
            return
        node = max(usable, key=lambda each: (each.depth, each.value))
        try:
            expand(state, node, 1, "backstop")
        except BudgetExceeded:
            closed.append(node)


def gives_up_backstop(state, expand):
    """Leaves at the first call that cannot be paid for."""
    state.ledger.release_backstop()
    try:
        while not any(node.terminal for node in state.nodes):
            usable = [node for node in state.nodes if not node.terminal]
            expand(state, max(usable, key=lambda each: (each.depth, each.value)), 1, "backstop")
    except BudgetExceeded:
        pass


def loop_with(world, k, payable=True, asked=frontier, anew=True):
    """The loop written another way, with one thing wrong."""
    state = begin(world)
    open_nodes = frontier(state.nodes)
    while not (why := reason(state, asked(open_nodes) if asked is frontier else asked(state, open_nodes))):
        expand(state, select(state, [node for node in open_nodes if can_pay(state, node) or not payable]), k)
        if answers(state):
            state.ledger.release_backstop()
        if anew:
            open_nodes = frontier(state.nodes)
    if not answers(state):
        backstop(state, expand)
    found = answers(state)
    best = max(found, key=lambda each: each.value) if found else max(state.nodes, key=lambda n: (n.depth, n.value))
    return (best.text if best.depth else ""), why, state


def goes_in_circles(world, k):
    state = begin(world)
    while not reason(state, frontier(state.nodes)):
        node = select(state, frontier(state.nodes))
        if can_pay(state, node):
            expand(state, node, k)
    return search(world, k)


def my_expand(state, node, k, role=""):
    raise NotImplementedError


def not_appended(state, node, k, role=""):
    known = len(state.nodes)
    expand(state, node, k, role)
    del state.nodes[known:]


def only_payable(state, nodes):
    return [node for node in nodes if can_pay(state, node)]


def search_last(world, k=3):
    _, why, state = search(world, k)
    found = answers(state)
    return (found[-1].text if found else ""), why, state


def search_best_step(world, k=3):
    text, why, state = search(world, k)
    return max(answers(state), key=lambda node: node.residual_value).text if answers(state) else text, why, state


def search_any_node(world, k=3):
    _, why, state = search(world, k)
    return max(state.nodes[1:] or state.nodes, key=lambda node: node.value).text, why, state


def search_path(world, k=3):
    _, why, state = search(world, k)
    best = max(answers(state) or state.nodes, key=lambda node: node.value)
    return " -> ".join(node.text for node in best.path()), why, state


def search_as_return(world, k=3):
    """The guide's backing up: each residual is added to all above, and V is the mean."""

    def as_return(state, node, k, role=""):
        known = len(state.nodes)
        expand(state, node, k, role)
        for child in state.nodes[known:]:
            for each in child.path():
                each.sums = [*getattr(each, "sums", []), child.residual_value]
                each.value = max(0.05, 0.5 + sum(each.sums) / len(each.sums))

    return search(world, k, expand=as_return)


def worlds(depth=2, count=20):
    from bavt_minimal.benchmark.simulator import Setting, World

    return [World(Setting(depth=depth, p=0.4, wrong=3, tokens=48), seed) for seed in range(count)]


EXERCISES = {
    "check_frontier": (
        frontier,
        {
            "leaves only": lambda nodes, max_widen=8: [n for n in nodes if not n.terminal and not n.children],
            "leaves for ever": lambda nodes, max_widen=8: [
                n for n in nodes if not n.terminal and (not n.children or n.expansions < max_widen)
            ],
            "answers too": lambda nodes, max_widen=8: [n for n in nodes if n.expansions < max_widen],
            "no bound": lambda nodes, max_widen=8: [n for n in nodes if not n.terminal],
            "one too many": lambda nodes, max_widen=8: [
                n for n in nodes if not n.terminal and n.expansions <= max_widen
            ],
            "children counted": lambda nodes, max_widen=8: [
                n for n in nodes if not n.terminal and len(n.children) < max_widen
            ],
            "visits counted": lambda nodes, max_widen=8: [
                n for n in nodes if not n.terminal and n.visit_count < max_widen
            ],
            "by value": lambda nodes, max_widen=8: sorted(frontier(nodes, max_widen), key=lambda n: -n.value),
            "ids": lambda nodes, max_widen=8: [n.id for n in frontier(nodes, max_widen)],
            "can be read once": lambda nodes, max_widen=8: (n for n in frontier(nodes, max_widen)),
            "never expanded": lambda nodes, max_widen=8: [n for n in nodes if not n.terminal and n.expansions == 0],
        },
    ),
    "check_expand": (
        expand,
        {
            "first child only": first_child_only,
            "the first one's for all": lambda *args: first_child_only(*args, others="same"),
            "judged before dropping": expand_with(judge_all=True),
            "copies kept": expand_with(drop=False),
            "copies of known children kept": expand_with(known=False),
            "faults kept": expand_with(faults=True),
            "not counted": expand_with(count=False),
            "not in state.nodes": expand_with(keep=False),
            "never an answer": expand_with(final=False),
            "the backstop drops copies": expand_with(copies=False),
            "the role is not passed on": expand_with(pays=False),
            "letter by letter": expand_with(same=str),
            "copies from anywhere in the tree dropped": expand_with(tree=True),
            "the path repeated": expand_with(path=False),
            "the critic called for each": expand_with(one_by_one=True),
            "does nothing": lambda state, node, k, role="": None,
        },
    ),
    "check_case": (
        [[0.2, 0.1], [0.2]],
        {
            "the other way round": [[0.2], [0.2, 0.1]],
            "the same chain": [[0.2, 0.1], [0.2, 0.1]],
            "the means are equal": [[0.2, 0.2], [0.2]],
            "clipped": [[0.4, 0.3], [0.4, 0.4]],
            "the mean is right too": [[0.3, 0.3], [0.2]],
            "out of range": [[0.9, 0.1], [0.9]],
            "not two": [0.2, 0.1, 0.2],
            "empty": [[0.2, 0.1], []],
        },
    ),
    "check_backstop": (
        backstop,
        {
            "share not released": backstop_with(release=False),
            "by value": backstop_with(key=lambda node: node.value),
            "by depth only": backstop_with(key=lambda node: node.depth),
            "three at once": backstop_with(k=3),
            "who pays is not said": backstop_with(role=""),
            "raises": backstop_with(close=False),
            "goes on after an answer": backstop_with(stop=False),
            "endless": endless_backstop,
            "gives up": gives_up_backstop,
            "does nothing": lambda state, expand: None,
        },
    ),
    "check_search": (
        search,
        {
            "first child only": lambda world, k=3: search(world, k, expand=first_child_only),
            "as a return": search_as_return,
            "no backstop": lambda world, k=3: search(world, k, backstop=lambda state, expand: None),
            "share not given back": lambda world, k=3: search(world, k, release=False),
            "stops at the first answer": lambda world, k=3: search(world, k, end="answered"),
            "the last answer": search_last,
            "the answer of the best last step": search_best_step,
            "the best node": search_any_node,
            "the path": search_path,
            "greedy": lambda world, k=3: search(world, k, select=greedy_select),
            "one candidate": lambda world, k=3: search(world, 1),
            "always out of tokens": lambda world, k=3: (search(world, k)[0], "tokens", search(world, k)[2]),
            "selects what it cannot pay": lambda world, k=3: loop_with(world, k, payable=False),
            "goes in circles": goes_in_circles,
            "breaks at an answer": lambda world, k=3: search(world, k, end=""),
            "no frontier": lambda world, k=3: search(world, k, frontier=list),
            "no expansion yet": lambda world, k=3: search(world, k, expand=my_expand),
            "children not appended": lambda world, k=3: search(world, k, expand=not_appended),
            "the reason of the payable": lambda world, k=3: loop_with(world, k, asked=only_payable),
            "an old frontier": lambda world, k=3: loop_with(world, k, anew=False),
            "nodes for the state": lambda world, k=3: (*search(world, k)[:2], search(world, k)[2].nodes),
            "answer only": lambda world, k=3: search(world, k)[0],
            "never stops when surely right": lambda world, k=3: search(world, k, reason=never_answered),
        },
    ),
    "check_leaks": (
        leaks,
        {
            "always": lambda search: True,
            "never": lambda search: False,
            "answers only": lambda search: any(search(w, w.answer)[0] != search(w, "s99")[0] for w in worlds()),
            "tokens only": lambda search: any(search(w, w.answer)[1] != search(w, "s99")[1] for w in worlds()),
            "one world": lambda search: search(worlds()[0], "s00") != search(worlds()[0], "s99"),
            "the same gold twice": lambda search: any(search(w, w.answer) != search(w, w.answer) for w in worlds()),
            "often right": lambda search: bool(np.mean([search(w, w.answer)[0] == w.answer for w in worlds()]) > 0.9),
            "ever right": lambda search: any(
                search(w, w.answer)[0] == w.answer or search(w, "s99")[0] == "s99" for w in worlds()
            ),
            "not a truth value": lambda search: "yes",
        },
    ),
}
