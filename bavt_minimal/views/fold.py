"""From a stream of events to a tree of plain records that every view draws.

A trace may come from anywhere, so all text is made harmless here, once, and a damaged event is named.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..trace import Event

REASONS = {
    "answered": "an answer of the highest value was found",
    "tokens": "the token budget is spent",
    "tool_calls": "the tool calls are spent",
    "depth": "every step left to go on from is at the largest depth",
    "exhausted": "nothing is left to try",
    "error": "an error ended the search",
    "interrupted": "it was cut off, and can be resumed",
}

FAILURES = {"tokens": "too few tokens left", "tool_calls": "no tool call left"}


def plain(text: object, limit: int = 2000) -> str:
    """One line without control, format (bidi too), surrogate or unassigned characters: safe in terminals and XML."""
    words = (" " if c.isspace() else c for c in str(text)[: 2 * limit])
    return " ".join("".join(c for c in words if unicodedata.category(c)[0] != "C").split())[:limit].rstrip()


def columns(text: str) -> int:
    """Columns that `text` takes in a terminal; East Asian wide characters take two, combining ones none."""
    marks = ("Mn", "Me")
    return sum(0 if unicodedata.category(c) in marks else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, "..." where it was cut."""
    if columns(text) <= width:
        return text
    kept, room = "", max(0, width - 3)
    for c in text[: 4 * room + 1]:  # bounds what a pile of combining characters can add
        if columns(kept + c) > room:
            break
        kept += c
    return kept.rstrip() + "..."[:width]


def wrap(text: str, width: int, most: int = 1000) -> list[str]:
    """`text` in lines of at most `width` columns, the last of at most `most` lines cut."""
    lines, line = [], ""
    for word in (cut(word, width) for word in text.split()):
        if line and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    lines.append(line)
    return lines if len(lines) <= most else [*lines[: most - 1], cut(f"{lines[most - 1]} {lines[most]}", width)]


@dataclass
class Node:
    """One step of the tree as the events tell it."""

    id: int
    parent: int | None
    text: str
    value: float
    residual: float = 0.0
    terminal: bool = False
    plan: list[str] = field(default_factory=list)  # of a node that is a plan: its sub-questions
    depth: int = 0
    expansions: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # why expansions of it came to nothing
    children: list[int] = field(default_factory=list)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (text, why) of steps that were pruned below it


@dataclass
class Picture:
    """Everything that the events so far say. Feed it with `add`."""

    header: dict[str, Any] = field(default_factory=dict)
    question: str = ""
    plan: list[str] = field(default_factory=list)
    nodes: dict[int, Node] = field(default_factory=lambda: {0: Node(0, None, "question", 0.5)})
    roles: dict[str, Counter[str]] = field(default_factory=dict)  # role -> tokens, tool_calls, prompt_tokens
    ratio: float = 1.0  # r_t
    events: int = 0
    kind: str = ""  # of the last event
    current: int = 0  # the node that the last event is about
    asked: str = ""  # the sub-question in hand
    query: str = ""  # what was looked up for it
    page: str = ""  # what was found
    drawn: list[str] = field(default_factory=list)  # candidates of the expansion in hand
    pages: dict[str, tuple[str, str]] = field(default_factory=dict)  # sub-question -> query and page
    answer: str = ""
    value: float = 0.0
    lookups: tuple[int, int] | None = None  # that the answer's plan states, and used in all; None: plan given
    reason: str = ""  # "" while the search runs
    forced: bool = False
    error: str = ""
    failed: str = ""  # why the last read, draw or judgment failed
    fails: bool = False  # whether the last event says so
    best: int = 0  # the node of the answer, or of the best step so far

    def add(self, event: Event) -> None:
        """Take in one event. Raises ValueError if it is damaged."""
        try:
            after = ("planned", "read", "expanded", "scored")
            self.fails = event.kind == "pruned" and self.kind in after and self.failed != ""
            getattr(self, f"_{event.kind}")(event.node, event.data)
            for row in event.charges:
                used = {name: row[name] for name in ("tokens", "tool_calls", "prompt_tokens")}
                self.roles.setdefault(plain(row["role"]), Counter()).update(used)
            self.ratio = _number(event.ledger["ratio"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"{type(error).__name__}: {plain(error, 200)}"
            raise ValueError(f"event {self.events + 1} ({event.kind}) of the trace is damaged: {what}") from error
        self.events += 1
        self.kind = event.kind
        self.current = event.node

    def spent(self, resource: str) -> int:
        """Units used so far: "tokens", "tool_calls" or "prompt_tokens"."""
        return sum(used[resource] for used in self.roles.values())

    def charged(self, resource: str) -> int:
        """Units that count against the budget."""
        prompt = self.spent("prompt_tokens") if resource == "tokens" and self.header.get("charge_prompt") else 0
        return self.spent(resource) + prompt

    def total(self, resource: str) -> int | None:
        """The budget of "tokens" or "tool_calls"; None if unlimited."""
        total = self.header.get(resource)
        return None if total is None else int(total)

    def path(self, node: int) -> list[int]:
        """Ids from the root to `node`."""
        ids = [node]
        while (parent := self.nodes[ids[-1]].parent) is not None:
            ids.append(parent)
        return ids[::-1]

    def position(self, node: int) -> tuple[list[str], list[str]]:
        """The plan that a node follows, [] if it has none, and the answers to its first sub-questions."""
        path = [self.nodes[id] for id in self.path(node)[1:]]
        planned = bool(path and path[0].plan)
        return path[0].plan if planned else self.plan, [each.text for each in path[planned:]]

    @property
    def best_path(self) -> list[int]:
        """Ids from the root to the answer, or to the best step so far."""
        return self.path(self.best)

    def walk(self, node: int = 0) -> list[int]:
        """All ids below and including `node`, each parent before its children."""
        found, stack = [], [node]
        while stack:
            found.append(stack.pop())
            stack += reversed(self.nodes[found[-1]].children)
        return found

    def _started(self, node: int, data: dict[str, Any]) -> None:
        self.header = data
        self.question, self.plan = plain(data["question"]), [plain(step, 500) for step in data["plan"]]
        self.nodes[0].value = _number(data["v0"])
        for resource in ("tokens", "tool_calls"):
            if data[resource] is not None:
                _number(data[resource])

    def _selected(self, node: int, data: dict[str, Any]) -> None:
        plan, answers = self.position(node)
        asked = plan[len(answers)] if len(answers) < len(plan) else "" if plan else self.question
        known = {str(number): answer for number, answer in enumerate(answers, 1)}
        self.asked = re.sub(r"#(\d+)", lambda match: known.get(match[1], match[0]), asked)
        self.query, self.page = self.pages.get(self.asked, ("", ""))
        self.drawn = []

    def _planned(self, node: int, data: dict[str, Any]) -> None:
        self._selected(node, data)
        self.nodes[node].expansions += 1
        if not self._failed(node, data):
            self.drawn = [plain(text, 500) for text, _, _, _ in data["plans"]]

    def _read(self, node: int, data: dict[str, Any]) -> None:
        self._selected(node, data)  # chains and the backstop read without a selection
        self.query, self.page = plain(data["query"], 200), plain(data.get("page", ""))
        self.pages[self.asked] = self.query, self.page
        self.nodes[node].expansions += self._failed(node, data)

    def _expanded(self, node: int, data: dict[str, Any]) -> None:
        self.nodes[node].expansions += 1
        if not self._failed(node, data):
            self.asked = plain(data["question"], 500)
            self.drawn = [plain(text, 200) for text, _, _, _ in data["steps"]]

    def _failed(self, node: int, data: dict[str, Any]) -> bool:
        self.failed = plain(data["why"], 200) or "error" if "why" in data else ""
        if self.failed:
            self.nodes[node].failures[FAILURES.get(self.failed, self.failed)] += 1
        return self.failed != ""

    def _scored(self, node: int, data: dict[str, Any]) -> None:
        if not self._failed(node, data):
            list(data["residuals"])

    def _added(self, node: int, data: dict[str, Any]) -> None:
        parent = self.nodes[data["parent"]]
        if type(node) is not int or node in self.nodes:
            raise ValueError(f"node {node!r} is not a new number")
        parent.children.append(node)
        residual, value = _number(data["residual"]), _number(data["value"])
        plan = [plain(step, 500) for step in data.get("plan", ())]
        text = f"Plan: {plain(data['text'], 500)}" if plan else plain(data["text"], 200)
        child = Node(node, parent.id, text, value, residual, bool(data["terminal"]), plan, parent.depth + 1)
        self.nodes[node] = child
        best = self.nodes[self.best]
        # An answer is better than a step on the way to one.
        if (child.terminal, child.value) > (best.terminal, best.value if self.best else 0.0):
            self.best = node

    def _pruned(self, node: int, data: dict[str, Any]) -> None:
        text, why = plain(data["text"], 200), plain(data["why"], 200)
        # The same kind of event tells that an expansion failed and that a step was dropped.
        if not self.fails:
            self.nodes[node].dropped[text, why] += 1

    def _answered(self, node: int, data: dict[str, Any]) -> None:
        self.nodes[node].terminal = True

    def _stopped(self, node: int, data: dict[str, Any]) -> None:
        self.best = self.nodes[node].id
        self.answer, self.value, self.forced = plain(data["answer"], 200), _number(data["value"]), bool(data["forced"])
        if "planned_lookups" in data:
            self.lookups = int(_number(data["planned_lookups"])), int(_number(data["used_lookups"]))
        self.reason, self.error = plain(data["reason"], 50), plain(data.get("error", ""), 500)


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value


def fold(events: Iterable[Event]) -> Picture:
    """The tree after `events`. Raises ValueError naming the first damaged one."""
    picture = Picture()
    for event in events:
        picture.add(event)
    return picture
