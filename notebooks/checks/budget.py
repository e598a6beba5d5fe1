"""Checks of 01_budget_and_ledger."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bavt_minimal import Budget, BudgetExceeded, Event, Ledger
from bavt_minimal.benchmark.simulator import QUESTION, Setting, World, tree

from . import exercise

ROLES = ("generator", "critic", "planner", "tool", "backstop")
NAMES = ("tokens", "tool_calls")
Operation = tuple[Any, ...]


# Iterations are not a budget


def event(kind: str, *charges: tuple[str, int, int, int]) -> Event:
    """An event with charges (role, tokens, tool calls, prompt tokens)."""
    names = ("role", "tokens", "tool_calls", "prompt_tokens")
    return Event(kind, 0, {}, [dict(zip(names, charge, strict=True)) for charge in charges], {})


# Every way of counting that leaves something out, or too much in, gives another number here.
EVENTS = [
    event("started"),
    *[event("selected"), event("planned", ("planner", 12, 0, 9)), event("scored"), event("added")],
    *[event("selected"), event("read", ("tool", 0, 1, 0)), event("expanded", ("generator", 20, 0, 31))],
    *[event("scored", ("critic", 5, 0, 4), ("critic", 3, 0, 4)), *[event("added")] * 3],
    *[event("selected"), event("read"), event("read", ("tool", 0, 1, 0)), event("pruned")],
    *[event("selected"), event("expanded", ("generator", 15, 0, 30)), event("scored", ("critic", 7, 0, 4))],
    *[event("read", ("backstop", 0, 1, 0)), event("expanded", ("backstop", 4, 0, 8)), event("answered")],
    event("stopped"),
]


@exercise
def check_bill(bill: Callable[[Sequence[Event]], tuple[int, int, int]]) -> str:
    """The reader's bill: events -> (iterations, generated tokens, tool calls)."""
    found = bill(EVENTS)
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        return f"Return three numbers: iterations, tokens, tool calls. Yours is {found!r}."
    iterations, tokens, calls = found
    if iterations != 4:
        wrong = {
            len(EVENTS): "An iteration is more than one event: it begins with the one whose kind is 'selected'.",
            66: "This is the number of tokens. Iterations come first.",
            3: "Count the events of kind 'selected'. An iteration can end before anything is 'expanded'.",
        }
        return wrong.get(
            iterations, f"The record of this check has 4 events of kind 'selected', you count {iterations}."
        )
    if tokens != 66:
        wrong = {
            35: "These are the generator's tokens only. The planner, the critic and the backstop generate too.",
            63: "An event can have several charges: a critic may have written about two steps.",
            156: "You added the prompt tokens. They were read, not generated.",
            90: "These are the prompt tokens. They were read, not generated.",
            54: "The planner's tokens are missing.",
            51: "The critic's tokens are missing.",
            62: "The backstop's tokens are missing.",
        }
        return wrong.get(
            tokens, f"All roles together generated 66 tokens in the record of this check, you count {tokens}."
        )
    if calls != 3:
        wrong = {
            4: "Add up the charges. A 'read' without one cost nothing: there was no call to pay for.",
            2: "The backstop can call the tool too: add up the tool calls of all charges, not of one role.",
        }
        return wrong.get(calls, f"There are 3 tool calls in the record of this check, you count {calls}.")
    for candidates in (1, 5):  # no table of numbers passes this
        world = World(Setting(tokens=10**6), 3)
        result = tree(world, num_candidates=candidates, max_expansions=8, stop_value=2.0).search(
            QUESTION, 3, world.plan
        )
        right = (8, result.ledger.spent["tokens"], result.ledger.spent["tool_calls"])
        if (found := tuple(bill(result.trace.events))) != right:
            return f"For a search of {candidates} steps at a time the bill is {right}, yours is {found}."
    return "Right."


# The effective ratio


@exercise
def check_ratio(ratio: Callable[[dict[str, Any], dict[str, Any]], float]) -> str:
    """The reader's r_t: (left, total) -> the smallest share."""

    def ask(left: tuple[Any, Any], total: tuple[Any, Any]) -> float:
        return float(ratio(dict(zip(NAMES, left, strict=True)), dict(zip(NAMES, total, strict=True))))

    first, second = ask((300, 1), (400, 5)), ask((30, 4), (100, 5))
    near = [round(x, 6) for x in (first, second)]
    wrong = {
        (0.75, 0.8): "This is the larger share. The tighter resource rules.",
        (0.75, 0.3): "Only the tokens count here. With few lookups left, r has to be small too.",
        (0.2, 0.8): "Only the tool calls count here. With few tokens left, r has to be small too.",
        (0.475, 0.55): "This is the mean of the shares: it says that something is left when one resource is empty.",
        (0.15, 0.24): "This is the product of the shares. r is the smaller of them.",
        (
            round(301 / 405, 6),
            round(34 / 105, 6),
        ): "Tokens and calls are different units. Do not add them, compare shares.",
        (1.0, 4.0): "Compare shares, not amounts: divide what is left of each resource by what was given of it.",
        (0.8, 0.7): "This is the share that is spent. r is the share that is left.",
        (-4.0, round(1 - 100 / 30, 6)): "Here the arguments are what is left and what was given, not total and spent.",
    }
    if near != [0.2, 0.3]:
        return wrong.get((near[0], near[1]), f"300 of 400 tokens and 1 of 5 calls left: r = 0.2. Yours is {first:.3f}.")
    try:
        empty = ask((0, 5), (0, 5))
    except ZeroDivisionError:
        return "A budget may be 0, and then you divide by 0. Nothing was given, so nothing is left: r = 0."
    if empty != 0:
        return f"With a budget of 0 tokens nothing is left: r = 0, yours is {empty:.3f}. 0 is not None."
    infinite = float("inf")
    try:
        one, none = ask((30, infinite), (120, None)), ask((infinite, infinite), (None, None))
    except (TypeError, ValueError) as error:
        return f"None stands for a resource without a limit, and has no share. Your code raised {type(error).__name__}."
    if abs(one - 0.25) > 1e-9:
        return f"30 of 120 tokens left, calls without a limit: r = 0.25, yours is {one:.3f}. None is not 0."
    if none != 1:
        return f"Without any limit everything is left: r = 1, yours is {none:.3f}."
    return "Right."


# The ledger


def refused(ledger: Any, role: str, **most: int) -> bool:
    """Whether a ledger refuses a reservation."""
    try:
        ledger.reserve(role, **most)
    except BudgetExceeded:
        return True
    return False


@exercise
def check_ledger(make: Callable[..., Any]) -> str:
    """The reader's ledger: reserve and settle."""
    try:
        make(tokens=20, tool_calls=3).reserve("generator", tokens=21)
        return "A call for 21 of 20 tokens went through. Raise BudgetExceeded(resource, asked, left) before it is made."
    except BudgetExceeded:
        pass
    try:
        let_through = not refused(make(tokens=20, tool_calls=3), "tool", tool_calls=4)
    except KeyError as error:
        return f"A call may ask for one resource only, and you look up {error}: go through `most.items()`."
    if let_through:
        return "A reservation of 4 of 3 tool calls went through: look at every resource that is asked for."
    two = make(tokens=20, tool_calls=3)
    two.reserve("generator", tokens=12)
    if two.left("tokens") == 20:
        return "After a reservation of 12 of 20 tokens all 20 are still left: an open call has to hold what it may use."
    if refused(two, "critic", tokens=8):
        return "Exactly what is left may be reserved: 12 of 20 are held, and a call for the other 8 was refused."
    if two.left("tokens") == 12:
        return "Calls of 12 and of 8 tokens are open, and only the second is held: add to what is held (`update`)."
    if not refused(two, "planner", tokens=1):
        return "Two open calls hold all 20 tokens, and a third one got through: compare with `left`, not with `total`."
    try:
        two.settle({"tokens": 8}, {"tokens": 3})
    except NotImplementedError:
        return "`reserve` is fine as far as it was tried. `settle` is not written yet."
    now = (two.left("tokens"), two.spent["tokens"])
    if now != (5, 3):
        wrong = {
            (0, 8): "You charged all that the call had reserved. It used 3 of 8: the rest has to come back.",
            (-3, 3): "What the call held is still held after it has ended.",
            (8, 0): "The call used 3 tokens and nothing was charged.",
            (17, 3): "Only the hold of the call that has ended is over. Another call is still open and holds 12.",
            (2, 3): "You released the unused rest only. What was used is now charged and still held: it counts twice.",
        }
        return wrong.get(now, f"Held 12, and 3 of 8 used: 5 left and 3 spent. Yours: {now[0]} left, {now[1]} spent.")
    both = make(tokens=20, tool_calls=0)
    if not refused(both, "tool", tokens=5, tool_calls=1):
        return "A call that needs a token and a tool call is refused if one of them is missing."
    if both.left("tokens") != 20:
        return "A refused call still holds tokens. Look at all resources first, and hold only then."

    try:
        both.reserve("tool", tokens=5, tool_calls=1)
    except BudgetExceeded as error:
        if error.resource != "tool_calls":
            return f"Tool calls are what is missing: BudgetExceeded('tool_calls', 1, 0). Yours names {error.resource}."
        if str(error) != str(BudgetExceeded("tool_calls", 1, 0)):
            return (
                f"One tool call was asked for and 0 are left: BudgetExceeded('tool_calls', 1, 0). Yours says: {error}."
            )
    both = make(tokens=20, tool_calls=3)
    both.reserve("tool", tokens=5, tool_calls=1)
    try:
        both.settle({"tokens": 5, "tool_calls": 1}, {"tokens": 2})
    except KeyError:
        return "A call may report fewer resources than it reserved: what it does not name, it did not use."
    if (now := (both.left("tokens"), both.left("tool_calls"))) != (18, 3):
        return (
            "A call held 5 tokens and a tool call and reported 2 tokens. Its whole hold is over: 18 tokens and 3 calls "
            f"are left. Yours: {now[0]} and {now[1]}."
        )

    class Strict(make):  # type: ignore[misc, valid-type]
        def left(self, resource: str, role: str = "backstop") -> float:
            return 0 if role == "critic" else super().left(resource, role)

    if not refused(Strict(tokens=20, tool_calls=3), "critic", tokens=1):
        return "Ask `self.left(resource, role)`, with the role: soon not every role may use all that is left."
    return "Right."


# A call that fails


class Recorder:
    """A ledger that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def reserve(self, role: str, **most: int) -> None:
        """Note it; the planner has nothing left."""
        if role == "planner":
            raise BudgetExceeded("tokens", most["tokens"], 0)
        self.said.append((role, most))

    def settle(self, most: dict[str, int], used: dict[str, int]) -> None:
        """Note it."""
        self.said.append((dict(most), dict(used)))


@exercise
def check_call(call: Callable[..., Any]) -> str:
    """The reader's context manager around one call."""
    most = {"tokens": 8}
    ledger = Recorder()
    with call(ledger, "critic", **most) as used:
        if not isinstance(used, dict):
            return f"The block gets an empty dictionary to fill in: `yield used`. Yours gets {used!r}."
        if ledger.said != [("critic", most)]:
            return f"When the block begins, the call has reserved {most}. Yours has told the ledger {ledger.said}."
        used["tokens"] = 5
    if len(ledger.said) != 2:
        return f"A call settles once. Yours did so {len(ledger.said) - 1} times."
    if ledger.said[1] == (most, most):
        return "A call that reported 5 of 8 tokens was charged all 8."
    if ledger.said[1] != (most, {"tokens": 5}):
        return f"5 of 8 tokens were reported: settle({most}, {{'tokens': 5}}). Yours settles {ledger.said[1]}."
    ledger = Recorder()
    try:
        with call(ledger, "critic", **most):
            raise KeyError("the server hung up")
    except KeyError:
        pass
    else:
        return "The error of a failed call has to reach the caller: yours swallows it."
    if len(ledger.said) == 1:
        return "After a call that failed its tokens are held forever. Use try and finally: finally runs in any case."
    if len(ledger.said) > 2:
        return "A call that fails is settled more than once: try and finally is enough, without except."
    if ledger.said[1] != (most, most):
        return "A call that failed may have used all of its 8 tokens before it did: charge what it reserved."
    ledger = Recorder()
    with suppress(KeyError), call(ledger, "critic", **most) as used:
        used["tokens"] = 2
        raise KeyError("it reported, then failed")
    if ledger.said[1] != (most, {"tokens": 2}):
        return "A call that reported 2 tokens and failed afterward is known to have used 2."
    ledger = Recorder()
    with call(ledger, "critic", **most):
        pass
    if ledger.said[1] != (most, most):
        return "A call that ended well but never said what it used is charged what it reserved, to be safe."
    ledger = Recorder()
    with suppress(KeyboardInterrupt), call(ledger, "critic", **most):
        raise KeyboardInterrupt
    if len(ledger.said) == 1:
        return "However it ended: after a KeyboardInterrupt its tokens are held forever. `finally` runs then too."
    ledger = Recorder()
    with call(ledger, "tool", tokens=8, tool_calls=1) as used:
        used["tokens"] = 5
    if ledger.said[1][1] != {"tokens": 5}:
        return f"A call reported 5 tokens and no tool call: settle with that. Yours settles with {ledger.said[1][1]}."
    ledger = Recorder()
    try:
        with call(ledger, "planner", **most):
            return "A call that was refused must not be made: let BudgetExceeded pass."
    except BudgetExceeded:
        pass
    except UnboundLocalError as error:
        return f"When `reserve` refuses, your `finally` runs all the same ({error}): reserve before the `try`."
    if ledger.said:
        return "A call that was refused has nothing to settle: reserve before the try, not inside it."
    return "Right."


# The share set aside


def play(parts: tuple[Any, Any, Any], operations: Sequence[Operation], total: Budget, aside: Budget) -> str:
    """Do the same to the reader's ledger and to the module's; the first difference in words, or "".

    `parts` are the reader's ledger, call and ratio. Operations: ("open", role, tokens, tool calls), ("close", which,
    tokens, tool calls, fails), where which counts the open calls and amounts are cut to what was reserved, ("lose",
    which) for a call that fails without a report, and ("release",).
    """
    make, call, ratio = parts
    given = {name: getattr(total, name) for name in NAMES}
    mine, module = make({name: getattr(aside, name) for name in NAMES}, **given), Ledger(total, backstop=aside)
    calls: list[tuple[Any, Any, Any]] = []
    for number, (kind, *what) in enumerate(operations, 1):
        if kind == "open":
            most = dict(zip(NAMES, what[1:], strict=True))
            answers: list[Any] = []
            for ask in (lambda: call(mine, what[0], **most), lambda: module.reserve(what[0], **most)):  # noqa: B023
                try:
                    opened = ask()
                    answers.append((opened, opened.__enter__()))
                except BudgetExceeded as error:
                    answers.append(error.resource)
            texts = [f"refused for {said}" if isinstance(said, str) else "let through" for said in answers]
            if texts[0] != texts[1]:
                return f"operation {number} ({what[0]}, {most}) is {texts[1]} by the module and {texts[0]} by yours"
            if not isinstance(answers[0], str):
                calls.append((*answers[0], answers[1][0]))
        elif kind == "release":
            mine.aside = dict.fromkeys(NAMES, 0)
            module.release_backstop()
        elif calls:
            opened, used, reserved = calls.pop(what[0] % len(calls))
            error = RuntimeError("the call failed") if kind == "lose" or what[3] else None
            if kind == "close":
                amounts = [
                    min(units, getattr(reserved.most, name)) for name, units in zip(NAMES, what[1:3], strict=True)
                ]
                used.update(zip(NAMES, amounts, strict=True))
                reserved.spend(*amounts)
            for each in (opened, reserved):
                with suppress(RuntimeError):
                    each.__exit__(type(error) if error else None, error, None)
        for role in ROLES:
            for name in NAMES:
                left = mine.left(name, role), module.left(name, role)
                if left[0] != left[1]:
                    return f"after operation {number} the {role} has {left[1]} {name} left, yours says {left[0]}"
        r = ratio({name: mine.left(name) for name in NAMES}, given), module.ratio()
        if abs(r[0] - r[1]) > 1e-9:
            return f"after operation {number} r is {r[1]:.3f}, yours says {r[0]:.3f}"
    return ""


def some_operations(rng: random.Random, count: int) -> list[Operation]:
    """Calls of all roles, most of them small; half are over before the next begins."""
    operations: list[Operation] = []
    for _ in range(count):
        operations.append(("open", rng.choice(ROLES), rng.randint(0, 9), rng.randint(0, 1)))
        if rng.random() < 0.7:
            operations.append(("close", rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 1), rng.random() < 0.2))
        elif rng.random() < 0.2:
            operations.append(("lose", rng.randint(0, 9)))
    return [*operations, ("release",), *operations[:4]]


@contextmanager
def plain_call(ledger: Any, role: str, **most: int) -> Iterator[dict[str, int]]:
    """Stands in for the reader's `my_call`, which is optional."""
    ledger.reserve(role, **most)
    used: dict[str, int] = {}
    try:
        yield used
    finally:
        ledger.settle(most, used or most)


@exercise
def check_whole(make: Callable[..., Any], call: Callable[..., Any], ratio: Callable[..., float]) -> str:
    """The reader's ledger with a share set aside, and all that was built before, beside the module's."""
    ledger = make({"tokens": 8, "tool_calls": 1}, tokens=20, tool_calls=2)
    ledger.spent["tokens"], ledger.held["tokens"] = 4, 3
    try:
        left = {role: ledger.left("tokens", role) for role in ROLES}
    except RecursionError:
        return "`self.left` calls itself without end here. Ask the ledger that you build on: `super().left(...)`."
    others = {left[role] for role in ROLES if role != "backstop"}
    if left["backstop"] == 8:
        return "The backstop may use all that is left, 13 of 20 tokens here, not only the 8 that are set aside."
    if left["backstop"] == 5:
        return "The share is kept from everybody here. It is kept for the backstop: that role may use it."
    if others == {13}:
        return "Every role may use the share here: then it is not set aside."
    if others == {8} or left["backstop"] == 16:
        return "What open calls hold is not left either. Start from `super().left(resource, role)`."
    if len(others) > 1:
        return f"All roles but the backstop are alike: 5 tokens left. Yours: {left}."
    if others != {5} or left["backstop"] != 13:
        return f"Of 20 tokens 4 are spent, 3 held and 8 set aside: 5 left, and 13 for the backstop. Yours: {left}."
    if (ledger.left("tool_calls", "tool"), ledger.left("tool_calls", "backstop")) != (1, 2):
        return "A tool call is set aside too: 1 of 2 is left for the tool, 2 for the backstop."
    ledger.spent["tokens"] = 14
    if (low := ledger.left("tokens", "generator")) != 0:
        return f"3 tokens are free and 8 are set aside: 0 are left for the generator, not {low}."
    try:
        with call(Recorder(), "critic", tokens=1):
            pass
    except NotImplementedError:
        call = plain_call
    try:
        for seed in range(20):
            rng = random.Random(seed)
            given, aside = Budget(rng.randint(0, 60), rng.randint(0, 8)), Budget(rng.randint(0, 9), rng.randint(0, 1))
            if difference := play((make, call, ratio), some_operations(rng, 25), given, aside):
                return f"`left` is right. Played beside the module's, your parts together differ: {difference}."
    except NotImplementedError:
        return "`left` is right. Parts from before are missing: finish MyLedger and my_ratio, or paste solutions."
    return "Right. It did the same as the module's ledger in 20 random games, each with up to 55 operations."
