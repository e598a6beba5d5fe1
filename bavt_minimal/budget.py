"""Two finite resources, and a ledger that is asked before a call and told after it.

Every call to the model or the tool *reserves* the most that it can use, *spends* what it used and *releases* the
rest. A budget is therefore never passed, not even by one token. Source: paper, "budget state" and r_t; the
implementation guide names "not tracking spent budget" as a pitfall.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from .checks import check_choice, check_count

ROLES = ("generator", "critic", "tool", "planner", "backstop")


class BudgetExceeded(RuntimeError):
    """A reservation asked for more than is left. `resource` is "tokens" or "tool_calls"."""

    def __init__(self, resource: str, asked: int, left: float):
        super().__init__(f"asked to reserve {asked} {resource.replace('_', ' ')}, {left} left")
        self.resource = resource


@dataclass(frozen=True)
class Budget:
    """What a search may use: generated tokens and tool calls. None means unlimited.

    >>> Budget(tokens=64, tool_calls=16)
    Budget(tokens=64, tool_calls=16)
    >>> Budget(tokens=64).tool_calls is None
    True
    """

    tokens: int | None = None
    tool_calls: int | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "tool_calls"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_count(name, getattr(self, name)))

    @classmethod
    def of(cls, budget: Budget | int) -> Budget:
        """Accept a `Budget`, or an int of tokens as the guide does.

        >>> Budget.of(64)
        Budget(tokens=64, tool_calls=None)
        """
        return budget if isinstance(budget, Budget) else cls(tokens=check_count("budget", budget))


@dataclass(frozen=True)
class Row:
    """One settled call: who used what."""

    role: str
    tokens: int = 0
    tool_calls: int = 0
    prompt_tokens: int = 0

    def __post_init__(self) -> None:
        check_choice("role", self.role, ROLES)
        for name in ("tokens", "tool_calls", "prompt_tokens"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))


@dataclass
class Reservation:
    """A claim on the budget, open inside a `with` block. Call `spend` with what was really used."""

    ledger: Ledger
    most: Row
    used: Row | None = None

    def spend(self, tokens: int = 0, tool_calls: int = 0) -> None:
        """Report what the call used. Raises ValueError if that is more than was reserved."""
        used = Row(self.most.role, tokens, tool_calls, self.most.prompt_tokens)
        if used.tokens > self.most.tokens or used.tool_calls > self.most.tool_calls:
            raise ValueError(f"spent {used}, more than was reserved: {self.most}")
        self.used = used

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A call that fails without a report may have used all that it was given, so it is charged all of it.
        self.ledger.settle(self.most, self.used or self.most)


@dataclass
class Ledger:
    """The account of one search.

    `backstop` is set aside at the start: only the role "backstop" may reserve it, until `release_backstop`.
    Prompt tokens are always counted, and charged to the token budget too if `charge_prompt`.

    >>> ledger = Ledger(Budget(tokens=64, tool_calls=4))
    >>> with ledger.reserve("generator", tokens=8) as call:
    ...     call.spend(tokens=5)
    >>> ledger.left("tokens"), ledger.left("tool_calls")
    (59, 4)
    >>> ledger.reserve("critic", tokens=60)
    Traceback (most recent call last):
        ...
    bavt_minimal.budget.BudgetExceeded: asked to reserve 60 tokens, 59 left
    """

    budget: Budget = field(default_factory=Budget)
    charge_prompt: bool = False
    backstop: Budget = field(default_factory=lambda: Budget(0, 0))
    rows: list[Row] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.budget, self.backstop = Budget.of(self.budget), Budget.of(self.backstop)
        self.spent: Counter[str] = Counter(tokens=0, tool_calls=0)  # settled, charged units
        self.prompt_tokens: int = 0
        self._held: Counter[str] = Counter()  # reserved, not yet settled

    def _total(self, resource: str) -> float:
        total = getattr(self.budget, resource)
        return float("inf") if total is None else total

    def left(self, resource: str, role: str = "backstop") -> float:
        """Units of "tokens" or "tool_calls" that `role` may still reserve; inf if unlimited.

        >>> ledger = Ledger(Budget(tokens=64), backstop=Budget(8, 1))
        >>> ledger.left("tokens", "generator"), ledger.left("tokens", "backstop")
        (56, 64)
        """
        aside = 0 if role == "backstop" else getattr(self.backstop, resource) or 0
        return max(0, self._total(resource) - self.spent[resource] - self._held[resource] - aside)

    def ratio(self) -> float:
        """r_t in [0, 1]: the smallest share left of a given resource; 1 if unlimited (paper, "effective ratio").

        >>> ledger = Ledger(Budget(tokens=64, tool_calls=4))
        >>> ledger.add(Row("tool", tool_calls=3))
        >>> ledger.ratio()
        0.25
        """
        totals = {name: self._total(name) for name in ("tokens", "tool_calls")}
        return min(1.0 if math.isinf(total) else self.left(name) / (total or 1) for name, total in totals.items())

    def reserve(self, role: str, tokens: int = 0, tool_calls: int = 0, prompt_tokens: int = 0) -> Reservation:
        """Claim the most that a call can use. Raises BudgetExceeded if it is not there."""
        most = Row(role, tokens, tool_calls, prompt_tokens)
        for resource, units in self._charge(most).items():
            if units > self.left(resource, role):
                raise BudgetExceeded(resource, units, self.left(resource, role))
        self._held.update(self._charge(most))
        return Reservation(self, most)

    def settle(self, most: Row, used: Row) -> None:
        """Release a reservation and book what was used."""
        self._held.subtract(self._charge(most))
        self.add(used)

    def add(self, row: Row) -> None:
        """Book a settled row; replay of a trace uses this directly. Raises ValueError if it passes the budget."""
        spent = self.spent + Counter(self._charge(row))
        if any(units > self._total(name) for name, units in spent.items()):
            raise ValueError(f"{row} passes {self.budget}")
        self.rows.append(row)
        self.spent.update(self._charge(row))
        self.prompt_tokens += row.prompt_tokens

    def release_backstop(self) -> None:
        """An answer is in hand: what was set aside may be used by everybody."""
        self.backstop = Budget(0, 0)

    def by_role(self) -> dict[str, Counter[str]]:
        """Totals of tokens, tool_calls and prompt_tokens for each role that made a call.

        >>> ledger = Ledger()
        >>> ledger.add(Row("generator", tokens=5, prompt_tokens=120))
        >>> ledger.by_role()["generator"]["prompt_tokens"]
        120
        """
        totals: dict[str, Counter[str]] = {}
        for row in self.rows:
            used = {"tokens": row.tokens, "tool_calls": row.tool_calls, "prompt_tokens": row.prompt_tokens}
            totals.setdefault(row.role, Counter()).update(used)
        return totals

    def state(self) -> dict[str, float]:
        """What has been used so far, for an event or a progress bar."""
        return {**self.spent, "prompt_tokens": self.prompt_tokens, "ratio": self.ratio()}

    def _charge(self, row: Row) -> dict[str, int]:
        prompt = row.prompt_tokens if self.charge_prompt else 0
        return {"tokens": row.tokens + prompt, "tool_calls": row.tool_calls}
