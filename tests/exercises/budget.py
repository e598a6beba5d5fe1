"""Right and wrong answers to the exercises of 01_budget_and_ledger: check -> (right, {what is wrong: answer})."""

from collections import Counter
from contextlib import contextmanager, suppress

from bavt_minimal import BudgetExceeded

# The bill


def charges(events, *roles):
    return [charge for event in events for charge in event.charges if not roles or charge["role"] in roles]


def total(charges, name):
    return sum(charge[name] for charge in charges)


def iterations(events, kind="selected"):
    return sum(event.kind == kind for event in events)


def my_bill(events):
    return iterations(events), total(charges(events), "tokens"), total(charges(events), "tool_calls")


def but(**wrong):
    """The right bill, with one number counted in another way."""
    ways = {"iterations": 0, "tokens": 1, "calls": 2}
    (name, count), *_ = wrong.items()

    def bill(events):
        numbers = list(my_bill(events))
        numbers[ways[name]] = count(events)
        return tuple(numbers)

    return bill


def first_charges(events):
    return [event.charges[0] for event in events if event.charges]


WRONG_BILLS = {
    "one number": lambda events: total(charges(events), "tokens"),
    "events": but(iterations=len),
    "expanded": but(iterations=lambda events: iterations(events, "expanded")),
    "nodes": but(iterations=lambda events: iterations(events, "added")),
    "generator only": but(tokens=lambda events: total(charges(events, "generator"), "tokens")),
    "first charge only": but(tokens=lambda events: total(first_charges(events), "tokens")),
    "prompts too": but(tokens=lambda events: sum(total(charges(events), n) for n in ("tokens", "prompt_tokens"))),
    "no planner": but(tokens=lambda events: total(charges(events, "generator", "critic", "backstop"), "tokens")),
    "no critic": but(tokens=lambda events: total(charges(events, "generator", "planner", "backstop"), "tokens")),
    "no backstop": but(tokens=lambda events: total(charges(events, "generator", "planner", "critic"), "tokens")),
    "prompts only": but(tokens=lambda events: total(charges(events), "prompt_tokens")),
    "the tool's calls only": but(calls=lambda events: total(charges(events, "tool"), "tool_calls")),
    "charges": but(calls=lambda events: len(charges(events))),
    "reads": but(calls=lambda events: iterations(events, "read")),
    "a table": lambda events: (4, 66, 3),
    "tokens first": lambda events: (my_bill(events)[1], my_bill(events)[0], my_bill(events)[2]),
}


# The ratio


def my_ratio(left, total):
    shares = [0.0 if total[name] == 0 else left[name] / total[name] for name in total if total[name] is not None]
    return min(shares, default=1.0)


def shares(left, total):
    return [left[name] / total[name] for name in total]


WRONG_RATIOS = {
    "max": lambda left, total: max(shares(left, total)),
    "tokens": lambda left, total: shares(left, total)[0],
    "calls": lambda left, total: shares(left, total)[1],
    "mean": lambda left, total: sum(shares(left, total)) / 2,
    "product": lambda left, total: shares(left, total)[0] * shares(left, total)[1],
    "pooled": lambda left, total: sum(left.values()) / sum(total.values()),
    "amounts": lambda left, total: min(left.values()),
    "spent": lambda left, total: 1 - min(shares(left, total)),
    "as in notebook 00": lambda total, spent: min(1 - spent[name] / total[name] for name in total),
    "inverse": lambda left, total: 1 / min(shares(left, total)),
    "divides by 0": lambda left, total: min(shares(left, total)),
    "0 is None": lambda left, total: min((left[n] / total[n] for n in total if total[n]), default=1.0),
    "None raises": lambda left, total: min(left[name] / total[name] if total[name] != 0 else 0.0 for name in total),
    "None is 0": lambda left, total: min(left[name] / total[name] if total[name] else 0.0 for name in total),
    "no limit is 0": lambda left, total: my_ratio(left, total) if any(t is not None for t in total.values()) else 0.0,
}


# The ledger


class MyLedger:
    def __init__(self, **total):
        self.total, self.spent, self.held = total, Counter(), Counter()

    def left(self, resource, role="backstop"):
        return self.total[resource] - self.spent[resource] - self.held[resource]

    def reserve(self, role, **most):
        for resource, units in most.items():
            if units > self.left(resource, role):
                raise BudgetExceeded(resource, units, self.left(resource, role))
        self.held.update(most)

    def settle(self, most, used):
        self.held.subtract(most)
        self.spent.update(used)


class NoCheck(MyLedger):
    def reserve(self, role, **most):
        self.held.update(most)


class TokensOnly(MyLedger):
    def reserve(self, role, **most):
        if most.get("tokens", 0) > self.left("tokens", role):
            raise BudgetExceeded("tokens", most["tokens"], self.left("tokens", role))
        self.held.update(most)


class HoldsNothing(MyLedger):
    def reserve(self, role, **most):
        MyLedger.reserve(self, role, **most)
        self.held.clear()


class HoldsTheLast(MyLedger):
    def reserve(self, role, **most):
        MyLedger.reserve(self, role, **most)
        self.held = Counter(most)


class SaysLeftForAsked(MyLedger):
    def reserve(self, role, **most):
        for resource, units in most.items():
            if units > self.left(resource, role):
                raise BudgetExceeded(resource, self.left(resource, role), units)
        self.held.update(most)


class KeepsOneBack(MyLedger):
    def reserve(self, role, **most):
        for resource, units in most.items():
            if units >= self.left(resource, role):
                raise BudgetExceeded(resource, units, self.left(resource, role))
        self.held.update(most)


class AgainstTotal(MyLedger):
    def reserve(self, role, **most):
        for resource, units in most.items():
            if units > self.total[resource]:
                raise BudgetExceeded(resource, units, self.total[resource])
        self.held.update(most)


class OneByOne(MyLedger):
    def reserve(self, role, **most):
        for resource, units in most.items():
            if units > self.left(resource, role):
                raise BudgetExceeded(resource, units, self.left(resource, role))
            self.held[resource] += units


class AnyIsEnough(MyLedger):
    def reserve(self, role, **most):
        if all(units > self.left(resource, role) for resource, units in most.items()):
            raise BudgetExceeded("tokens", 0, 0)
        self.held.update(most)


class NoRole(MyLedger):
    def reserve(self, role, **most):
        for resource, units in most.items():
            if units > self.left(resource):
                raise BudgetExceeded(resource, units, self.left(resource))
        self.held.update(most)


class ChargesAll(MyLedger):
    def settle(self, most, used):
        self.held.subtract(most)
        self.spent.update(most)


class HoldsOn(MyLedger):
    def settle(self, most, used):
        self.spent.update(used)


class ChargesNothing(MyLedger):
    def settle(self, most, used):
        self.held.subtract(most)


class ReleasesAll(MyLedger):
    def settle(self, most, used):
        self.held.clear()
        self.spent.update(used)


class NoSettle(MyLedger):
    def settle(self, most, used):
        raise NotImplementedError


class ReleasesTheRest(MyLedger):
    def settle(self, most, used):
        self.held.subtract({name: most[name] - used.get(name, 0) for name in most})
        self.spent.update(used)


class ChargesTheRest(MyLedger):
    def settle(self, most, used):
        self.held.subtract(most)
        self.spent.update({name: most[name] - used.get(name, 0) for name in most})


class NamesTokens(MyLedger):
    def reserve(self, role, **most):
        if any(units > self.left(resource, role) for resource, units in most.items()):
            raise BudgetExceeded("tokens", most.get("tokens", 0), self.left("tokens", role))
        self.held.update(most)


class AsksForBoth(MyLedger):
    def reserve(self, role, **most):
        for resource in ("tokens", "tool_calls"):
            if most[resource] > self.left(resource, role):
                raise BudgetExceeded(resource, most[resource], self.left(resource, role))
        self.held.update(most)


class WantsAllReported(MyLedger):
    def settle(self, most, used):
        for resource in most:
            self.held[resource] -= most[resource]
            self.spent[resource] += used[resource]


class ReleasesWhatIsNamed(MyLedger):
    def settle(self, most, used):
        for resource, units in used.items():
            self.held[resource] -= most[resource]
            self.spent[resource] += units


WRONG_LEDGERS = {
    "releases what is named": ReleasesWhatIsNamed,
    "names the wrong resource": NamesTokens,
    "looks up what was not asked for": AsksForBoth,
    "looks up what was not reported": WantsAllReported,
    "no check": NoCheck,
    "tokens only": TokensOnly,
    "holds nothing": HoldsNothing,
    "keeps one back": KeepsOneBack,
    "holds the last only": HoldsTheLast,
    "left for asked": SaysLeftForAsked,
    "compares with the total": AgainstTotal,
    "holds before it refuses": OneByOne,
    "one resource is enough": AnyIsEnough,
    "role forgotten": NoRole,
    "charges all": ChargesAll,
    "never releases": HoldsOn,
    "charges nothing": ChargesNothing,
    "releases every call": ReleasesAll,
    "counts twice": ReleasesTheRest,
    "charges the rest": ChargesTheRest,
    "half done": NoSettle,
}


# A call that fails


@contextmanager
def my_call(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    finally:
        ledger.settle(most, used or most)


@contextmanager
def no_finally(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    yield used
    ledger.settle(most, used or most)


@contextmanager
def no_reservation(ledger, role, **most):
    used = {}
    try:
        yield used
    finally:
        ledger.settle(most, used or most)


@contextmanager
def charges_all(ledger, role, **most):
    ledger.reserve(role, **most)
    try:
        yield {}
    finally:
        ledger.settle(most, most)


@contextmanager
def charges_nothing(ledger, role, **most):
    ledger.reserve(role, **most)
    try:
        yield {}
    finally:
        ledger.settle(most, {})


@contextmanager
def never_settles(ledger, role, **most):
    ledger.reserve(role, **most)
    yield {}


@contextmanager
def swallows(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    with suppress(Exception):
        yield used
    ledger.settle(most, used or most)


@contextmanager
def twice(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    except Exception:
        ledger.settle(most, most)
        raise
    finally:
        ledger.settle(most, used or most)


@contextmanager
def failure_is_free(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    finally:
        ledger.settle(most, used)


@contextmanager
def report_ignored(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    except Exception:
        ledger.settle(most, most)
        raise
    ledger.settle(most, used or most)


@contextmanager
def silence_is_free(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    except Exception:
        ledger.settle(most, used or most)
        raise
    ledger.settle(most, used)


@contextmanager
def reserves_inside(ledger, role, **most):
    used = {}
    try:
        ledger.reserve(role, **most)
        yield used
    finally:
        ledger.settle(most, used or most)


@contextmanager
def all_inside(ledger, role, **most):
    try:
        ledger.reserve(role, **most)
        used = {}
        yield used
    finally:
        ledger.settle(most, used or most)


@contextmanager
def yields_nothing(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield
    finally:
        ledger.settle(most, used or most)


@contextmanager
def goes_ahead(ledger, role, **most):
    used = {}
    try:
        ledger.reserve(role, **most)
    except BudgetExceeded:
        yield used
        return
    try:
        yield used
    finally:
        ledger.settle(most, used or most)


@contextmanager
def only_exceptions(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    except Exception:
        ledger.settle(most, used or most)
        raise
    ledger.settle(most, used or most)


@contextmanager
def fills_up(ledger, role, **most):
    ledger.reserve(role, **most)
    used = {}
    try:
        yield used
    finally:
        ledger.settle(most, {**most, **used})


WRONG_CALLS = {
    "an interrupt holds on": only_exceptions,
    "what is not named is charged": fills_up,
    "no finally": no_finally,
    "no reservation": no_reservation,
    "charges all": charges_all,
    "charges nothing": charges_nothing,
    "never settles": never_settles,
    "swallows the error": swallows,
    "settles twice": twice,
    "a failure is free": failure_is_free,
    "ignores a report before a failure": report_ignored,
    "silence is free": silence_is_free,
    "reserves inside the try": reserves_inside,
    "all of it inside the try": all_inside,
    "yields nothing": yields_nothing,
    "goes ahead when refused": goes_ahead,
}


# The share set aside


class RoleLedger(MyLedger):
    def __init__(self, aside, **total):
        super().__init__(**total)
        self.aside = aside

    def left(self, resource, role="backstop"):
        free = super().left(resource, role)
        return free if role == "backstop" else max(0, free - self.aside[resource])


def with_left(rule):
    """A ledger with another rule (ledger, free, resource, role) -> what is left."""

    class Other(RoleLedger):
        def left(self, resource, role="backstop"):
            return rule(self, MyLedger.left(self, resource, role), resource, role)

    return Other


def without_held(ledger, free, resource, role):
    free += ledger.held[resource]
    return free if role == "backstop" else max(0, free - ledger.aside[resource])


class Unfinished(RoleLedger):
    def reserve(self, role, **most):
        raise NotImplementedError


def without_tool_calls(ledger, free, resource, role):
    return free if role == "backstop" or resource == "tool_calls" else max(0, free - ledger.aside[resource])


WRONG_WHOLES = {
    "kept from the backstop too": (with_left(lambda b, free, n, role: max(0, free - b.aside[n])), my_call, my_ratio),
    "kept from nobody": (with_left(lambda b, free, n, role: free), my_call, my_ratio),
    "the share only": (
        with_left(lambda b, free, n, role: b.aside[n] if role == "backstop" else max(0, free - b.aside[n])),
        my_call,
        my_ratio,
    ),
    "below 0": (
        with_left(lambda b, free, n, role: free if role == "backstop" else free - b.aside[n]),
        my_call,
        my_ratio,
    ),
    "holds forgotten": (with_left(without_held), my_call, my_ratio),
    "generator only": (
        with_left(lambda b, free, n, role: max(0, free - b.aside[n]) if role == "generator" else free),
        my_call,
        my_ratio,
    ),
    "added": (
        with_left(lambda b, free, n, role: free if role == "backstop" else free + b.aside[n]),
        my_call,
        my_ratio,
    ),
    "calls itself": (with_left(lambda b, free, n, role: b.left(n, role)), my_call, my_ratio),
    "no call set aside": (with_left(without_tool_calls), my_call, my_ratio),
    "another part is missing": (Unfinished, my_call, my_ratio),
    "another call": (RoleLedger, charges_all, my_ratio),
    "another ratio": (RoleLedger, my_call, lambda left, total: 1.0),
}

EXERCISES = {
    "check_bill": (my_bill, WRONG_BILLS),
    "check_ratio": (my_ratio, WRONG_RATIOS),
    "check_ledger": (MyLedger, WRONG_LEDGERS),
    "check_call": (my_call, WRONG_CALLS),
    "check_whole": ((RoleLedger, my_call, my_ratio), WRONG_WHOLES),
}
