"""A short run of the stress test, and proof that it sees what it is there to see."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import Any

import pytest
import stress

from bavt_minimal.budget import Ledger, Reservation, Row
from bavt_minimal.expansion import Expansion
from bavt_minimal.tree import TreeNode

SEARCHES = 100


def last_line(capsys: Any) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_a_short_run_is_clean(capsys: Any) -> None:
    assert stress.main(["--searches", "250", "--seed", "11"]) == 0
    assert last_line(capsys) == "250 searches: 250 ended with an answer or a reason, 0 hangs, 0 overruns"


def test_the_cases_are_worth_running(monkeypatch: Any) -> None:
    """All reasons occur, kills and errors too, and answers as well as their absence."""
    seen: Counter[str] = Counter()
    check = stress.check

    def count(case: Any, meter: Any, result: Any) -> str:
        seen.update([result.reason, f"terminal {result.node.terminal}", f"tree {case.tree}", f"retry {case.retry}"])
        seen["killed"] += meter.killed
        seen["planner"] += "planner" in result.ledger.by_role() and bool(result.plan)
        seen["no plan"] += "planner" in result.ledger.by_role() and not result.plan and result.answer != ""
        seen["backstop"] += "backstop" in result.ledger.by_role()
        return check(case, meter, result)

    monkeypatch.setattr(stress, "check", count)
    assert stress.run(300, seed=12, quiet=True) == {"ended": 300}
    assert stress.REASONS | {"terminal True", "terminal False", "tree True", "tree False", "backstop"} <= set(seen)
    assert seen["terminal True"] > 30 and seen["error"] > 20 and seen["killed"] > 10
    assert seen["planner"] > 15 and seen["no plan"] > 5


def test_an_unchecked_reserve_is_seen_as_overruns(monkeypatch: Any, capsys: Any) -> None:
    def reserve(self: Ledger, role: str, tokens: int = 0, tool_calls: int = 0, prompt_tokens: int = 0) -> Reservation:
        return Reservation(self, Row(role, tokens, tool_calls, prompt_tokens))

    def add(self: Ledger, row: Row) -> None:
        self.rows.append(row)
        self.spent.update(self._charge(row))
        self.prompt_tokens += row.prompt_tokens

    monkeypatch.setattr(Ledger, "reserve", reserve)
    monkeypatch.setattr(Ledger, "settle", lambda self, most, used: self.add(used))
    monkeypatch.setattr(Ledger, "add", add)
    assert stress.main(["--searches", str(SEARCHES)]) == 1
    line = last_line(capsys)
    assert "0 hangs" in line and int(line.split()[-2]) > 0 and line.endswith("overruns")


def test_a_ledger_that_is_too_generous_is_seen(monkeypatch: Any) -> None:
    left = Ledger.left
    monkeypatch.setattr(Ledger, "left", lambda self, *arguments: left(self, *arguments) + 1)
    monkeypatch.setattr(Ledger, "_total", lambda self, name: (getattr(self.budget, name) or 0) + 10**6, raising=False)
    assert stress.run(SEARCHES, quiet=True)["overrun"] > 0


def test_a_ledger_that_forgets_is_seen(monkeypatch: Any) -> None:
    spend = Reservation.spend

    def forget(self: Reservation, tokens: int = 0, tool_calls: int = 0) -> None:
        spend(self, max(0, tokens - 1), tool_calls)

    monkeypatch.setattr(Reservation, "spend", forget)
    verdicts = stress.run(SEARCHES, quiet=True)
    assert verdicts["wrong count"] + verdicts["overrun"] > SEARCHES // 3


def test_a_crash_of_the_search_is_seen(monkeypatch: Any) -> None:
    def backup(self: TreeNode) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(TreeNode, "backup", backup)
    assert stress.run(SEARCHES, quiet=True)["crash"] > SEARCHES // 10


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="the watchdog needs SIGALRM")
def test_a_hang_is_seen(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(stress, "SECONDS", 1)
    monkeypatch.setattr(Expansion, "expand", lambda *_, **__: time.sleep(60))
    monkeypatch.setattr("faulthandler.dump_traceback", lambda: None)
    assert stress.main(["--searches", "1"]) == 1
    assert "1 hangs" in last_line(capsys)
