"""A search as it runs: a growing tree with bars in a terminal, one line an event in a pipe or a file."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from ..trace import Event
from .fold import Node, Picture, columns, cut, wrap
from .text import (
    answer_line,
    budget_line,
    dropped_text,
    event_lines,
    failure_text,
    lookups_line,
    reason_line,
    role_lines,
    summary,
)

# Okabe-Ito colors that read on dark and on light; each stands beside a number, a sign or a word.
BLUE, GREEN, ORANGE = "#56B4E9", "#009E73", "#E69F00"
FIGURES = 28  # columns of value, bar and residual
LABEL = 10


class PlainView:
    """Writes one line an event, without colors or escape codes."""

    out: IO[str]
    picture: Picture
    began: float

    def __init__(self, out: IO[str] | None = None):
        self.out, self.picture, self.began = out or sys.stdout, Picture(), time.monotonic()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        self.picture.add(event)
        for line in event_lines(event, self.picture):
            print(line, file=self.out, flush=True)

    def finish(self, gold: str = "") -> None:
        """The answer, why it stopped and what it cost; the right answer if it is known."""
        lines = summary(self.picture, time.monotonic() - self.began, gold)
        print("\n".join(["", *lines]), file=self.out, flush=True)


class LiveView:
    """Redraws the search in place while it runs; `finish` leaves the whole tree and the answer."""

    console: Console
    picture: Picture
    began: float

    def __init__(self, console: Console):
        self.console, self.picture, self.began = console, Picture(), time.monotonic()
        self.lock: threading.Lock = threading.Lock()  # rich redraws from a thread of its own

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        with self.lock:
            self.picture.add(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self.lock:
            drawing = Drawing(self.picture, options.max_width, options.ascii_only)
            yield from drawing.screen(console.size.height - 1, time.monotonic() - self.began)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the view while the block runs."""
        with Live(self, console=self.console, transient=True, refresh_per_second=8, redirect_stderr=False):
            yield

    def finish(self, gold: str = "") -> None:
        """Print the whole tree, the answer, why it stopped and what it cost; the right answer if it is known."""
        report(self.picture, self.console, time.monotonic() - self.began, gold)


def report(picture: Picture, console: Console, seconds: float | None = None, gold: str = "") -> None:
    """Print a finished search."""
    drawing = Drawing(picture, console.width, console.options.ascii_only)
    for line in drawing.report(seconds, gold):
        console.print(line, overflow="ellipsis", no_wrap=True)


class Drawing:
    """Lines of a picture for a terminal of some width. Text from outside enters as text, never as markup."""

    picture: Picture
    width: int

    def __init__(self, picture: Picture, width: int, ascii_only: bool = False):
        self.picture, self.width = picture, max(40, width)
        self.full, self.empty = ("#", ".") if ascii_only else ("━", "─")
        self.fork, self.last, self.pass_by = ("|- ", "`- ", "|  ") if ascii_only else ("├─ ", "└─ ", "│  ")

    def screen(self, height: int, seconds: float) -> list[Text]:
        """The running search in at most `height` lines: what does not fit is left out of plan and tree first."""
        question = self.labeled("Question", self.picture.question, most=2, style="bold")
        plan = self.plan(most=6 if height >= 22 else 3)
        now, bars = self.now(), [Text(), *self.bars(seconds)]
        room = height - len(question) - len(now) - len(bars) - 2
        if room - len(plan) < 4:
            plan = []
        tree = self.tree(most=max(1, room - len(plan)))
        return [*question, *plan, Text(), *now, Text(), *tree, *bars][: max(1, height)]

    def report(self, seconds: float | None = None, gold: str = "") -> list[Text]:
        """The finished search, as long as it is."""
        picture, lines = self.picture, self.labeled("Question", self.picture.question, style="bold")
        lines += [*self.plan(), Text(), *self.tree(dropped=True), Text()]
        lines += self.labeled("Answer", answer_line(picture), style=f"bold {GREEN}" if picture.answer else "bold")
        lines += self.labeled("Stopped", reason_line(picture)) + self.labeled("Spent", budget_line(picture))
        for role in role_lines(picture):
            lines += self.labeled("", role, style="dim")
        lines += self.labeled("Lookups", lookups_line(picture)) if picture.lookups else []
        lines += [] if seconds is None else self.labeled("Seconds", f"{seconds:.1f}")
        return lines + (self.labeled("Gold", gold) if gold else [])

    def labeled(self, label: str, words: str, most: int = 1000, style: str = "") -> list[Text]:
        """`words` beside a label, wrapped to at most `most` lines."""
        return [
            Text.assemble((f"{label if row == 0 else '':<{LABEL}}", "dim"), (line, style))
            for row, line in enumerate(wrap(words, self.width - LABEL, most))
        ]

    def plan(self, most: int = 1000) -> list[Text]:
        """The sub-questions of the plan in hand, in the end of the answer's plan; ">" marks the one in hand."""
        picture = self.picture
        plan, answers = picture.position(picture.best if picture.reason else picture.current)
        now = -1 if picture.reason or not picture.events else len(answers)
        if answers and picture.kind in ("added", "answered"):
            now -= 1  # these events are about the new step
        lines = []
        for row, step in enumerate(plan[:most]):
            mark = "> " if row == now else "  "
            line = cut(f"{mark}{row + 1}. {step}", self.width - LABEL)
            lines.append(Text.assemble((f"{'Plan' * (row == 0):<{LABEL}}", "dim"), (line, "" if row == now else "dim")))
        if len(plan) > most:
            lines.append(Text(f"{'':{LABEL}}  and {len(plan) - most} more", "dim"))
        return lines

    def now(self) -> list[Text]:
        """The sub-question in hand, the page being read, the candidates drawn: always four lines."""
        picture = self.picture
        planning = not picture.position(picture.current)[0] and picture.events
        waiting = "making one ..." if planning else "looking it up ..."
        page = f"{picture.query}: {picture.page}" if picture.page else waiting
        drawn = " | ".join(text or "(nothing)" for text in picture.drawn) or "drawing ..."
        lines = [*self.labeled("Asking", picture.asked or "...", most=1)]
        lines += self.labeled("Plan" if planning else "Page", page, most=2, style="dim")
        return [*lines, *[Text()] * (3 - len(lines)), *self.labeled("Drawn", drawn, most=1)]

    def tree(self, most: int = 10**9, dropped: bool = False) -> list[Text]:
        """A line a step: its text, value, bar and what it added. Only the most valued if there is no room for all."""
        picture, best = self.picture, set(self.picture.best_path)
        shown = set(picture.nodes)
        if len(shown) + 1 > most:
            shown = self.choose(most - 2)
        lines = [self.row("Tree", "value", "", "added", "dim")]
        for id in picture.walk():
            if id not in shown:
                continue
            node = picture.nodes[id]
            name, style = node.text, "bold" if id in best and id else ""
            if node.terminal:
                name += "  (answer)"
            elif node.failures:
                name += f"  (failed: {failure_text(node)})"
            mark = "* " if id in best and id else "  "
            added = f"{node.residual:+.2f}" if id else ""
            lines.append(self.row(mark + self.guides(node) + name, f"{node.value:.2f}", node.value, added, style))
            if dropped and node.dropped:
                guides = "  " + self.guides(node, below=True)
                words = cut(f"dropped: {dropped_text(node)}", max(20, min(self.width, 100) - columns(guides)))
                lines.append(Text(guides + words, "dim"))
        if hidden := len(picture.nodes) - len(shown):
            lines.append(Text(f"  and {hidden} of lower value", "dim"))
        return lines

    def choose(self, most: int) -> set[int]:
        """The root, the way to the best step, then the most valued steps with all above them."""
        picture, shown = self.picture, set(self.picture.best_path[: max(1, most)])
        for node in sorted(picture.nodes.values(), key=lambda n: (n.id != picture.current, -n.value, n.id)):
            path = shown.union(picture.path(node.id))
            shown = path if len(path) <= most else shown
        return shown

    def guides(self, node: Node, below: bool = False) -> str:
        """The lines that join a step to the one above it."""
        nodes, parts = self.picture.nodes, []
        if below:
            parts.append(self.pass_by if node.children else "   ")
        first = not below
        while node.parent is not None:
            ends = nodes[node.parent].children[-1] == node.id
            parts.append((self.last if ends else self.fork) if first else "   " if ends else self.pass_by)
            first, node = False, nodes[node.parent]
        return "".join(reversed(parts))

    def row(self, name: str, value: str, share: float | str, added: str, style: str) -> Text:
        """One line of the tree with its figures at the right."""
        room = min(self.width, 100) - FIGURES
        name = cut(name, room - 1)
        line = Text(name + " " * (room - columns(name)), style).append(f"{value:>5}  ")
        if isinstance(share, float):
            line.append_text(self.bar(share, 12, BLUE))
        else:
            line.append(" " * 12)
        return line.append(f"{added:>7}")

    def bar(self, share: float, width: int, color: str) -> Text:
        """A bar filled to `share`."""
        full = round(width * min(1.0, max(0.0, share)))
        return Text.assemble((self.full * full, color), (self.empty * (width - full), "dim"))

    def bars(self, seconds: float) -> list[Text]:
        """What is left of each resource, r_t, and the time."""
        picture, lines = self.picture, []
        for resource, name, color in (("tokens", "Tokens", GREEN), ("tool_calls", "Lookups", ORANGE)):
            total, used = picture.total(resource), picture.charged(resource)
            label = Text(f"{name:<{LABEL}}", "dim")
            if total is None:
                lines.append(label.append(f"{used} used, unlimited"))
                continue
            share = max(0.0, 1 - used / total) if total else 0.0
            words = cut(f"  {max(0, total - used)} of {total} left", self.width - LABEL)
            bar = self.bar(share, max(0, min(30, self.width - LABEL - columns(words))), color)
            lines.append(label.append_text(bar).append(words))
        words = f"{seconds:.1f} s; r = {picture.ratio:.2f} of the budget left"
        if str(picture.header.get("selection")).startswith("BudgetAware("):
            words += ", steps drawn by V^(1/r)"
        lines += self.labeled("Time", words, most=1)
        return lines
