"""The one stream of events of a search: views listen to it, a file keeps it, and a search resumes from it.

Resuming replays the recorded events instead of calling the model and the tool, then goes on. JSON only, versioned.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .budget import Ledger, Row
from .checks import check_choice, check_count

VERSION = 1
KINDS = ("started", "selected", "planned", "read", "expanded", "scored", "added", "pruned", "answered", "stopped")


TEXTS: dict[str, tuple[str, ...]] = {
    "read": ("query", "page"),
    "expanded": ("question",),
    "added": ("text",),
    "answered": ("answer",),
}
TEXTS |= {"stopped": ("answer", "reason"), "pruned": ("text", "why")}
NUMBERS: dict[str, tuple[str, ...]] = {
    "added": ("parent", "residual", "value"),
    "answered": ("value",),
    "stopped": ("value",),
}
DRAWN = {"expanded": "steps", "planned": "plans"}  # rows of text, tokens, log-probabilities, finished


@dataclass(frozen=True)
class Event:
    """Something that happened at a node, what it cost, and the ledger's state after it.

    >>> Event("read", node=0, data={"query": "Ada"}, charges=[{"role": "tool", "tool_calls": 1}], ledger={}).kind
    'read'
    >>> Event("thought", node=0, data={}, charges=[], ledger={})
    Traceback (most recent call last):
        ...
    ValueError: event kind must be one of started, selected, ..., stopped, got 'thought'
    """

    kind: str
    node: int
    data: dict[str, Any]
    charges: list[dict[str, Any]]
    ledger: dict[str, float]

    def __post_init__(self) -> None:
        check_choice("event kind", self.kind, KINDS)

    def book(self, ledger: Ledger) -> None:
        """Charge a ledger again with what this event cost.

        >>> event = Event("read", node=0, data={}, charges=[{"role": "tool", "tool_calls": 1}], ledger={})
        >>> ledger = Ledger()
        >>> event.book(ledger)
        >>> ledger.spent["tool_calls"]
        1
        """
        for charge in self.charges:
            ledger.add(Row(**charge))


Events = Iterator[Event]  # a search as it runs


@dataclass
class Trace:
    """Settings of a search (`header`) and its events so far.

    >>> from tempfile import TemporaryDirectory
    >>> from bavt_minimal import BudgetAwareValueTreeSearch
    >>> from bavt_minimal.models import ScriptedModel
    >>> search = BudgetAwareValueTreeSearch(ScriptedModel({}, default={"London": 1}), budget=64)
    >>> result = search.search("Where was Ada born?")
    >>> with TemporaryDirectory() as folder:
    ...     result.trace.save(f"{folder}/ada.trace.json")
    ...     earlier = Trace.load(f"{folder}/ada.trace.json")
    >>> again = search.search("Where was Ada born?", resume=earlier)
    >>> again.answer, again.trace.events == result.trace.events
    ('London', True)
    """

    header: dict[str, Any]
    events: list[Event] = field(default_factory=list)
    recorded: deque[Event] = field(default_factory=deque, repr=False)  # still to be replayed
    booked: int = 0  # rows of the ledger that the events hold

    def resume(self, earlier: Trace) -> None:
        """Replay `earlier` first. Raises ValueError if it was made with other settings."""
        if not isinstance(earlier, Trace):
            raise TypeError(f"resume must be a Trace (see Trace.load), got {type(earlier).__name__}")
        for key in self.header | earlier.header:
            if self.header.get(key) != earlier.header.get(key):
                raise ValueError(
                    f"resume: the trace was made with {key}={earlier.header.get(key)!r}, "
                    f"this search has {self.header.get(key)!r}; use the same settings"
                )
        self.recorded = deque(earlier.events)

    def record(self, kind: str, node: int, ledger: Ledger, work: Callable[[], dict[str, Any]]) -> Event:
        """Do `work` and keep what it returned and charged; in a replay, take both from the earlier trace."""
        if self.recorded and self.recorded[0].data.get("reason") in ("error", "interrupted"):
            # The search stopped because something failed: that is tried again, but what it used stays charged.
            self.recorded.popleft().book(ledger)
        if self.recorded:
            event = self.recorded.popleft()
            if (event.kind, event.node) != (kind, node):
                raise ValueError(
                    f"resume: the trace has {event.kind!r} at node {event.node} where this search "
                    f"has {kind!r} at node {node}; it belongs to another search"
                )
            event.book(ledger)
        else:
            data = work()
            event = Event(kind, node, data, [asdict(row) for row in ledger.rows[self.booked :]], ledger.state())
        self.booked = len(ledger.rows)
        self.events.append(event)
        return event

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON. The file is replaced in one move, so a kill leaves the old or the new one."""
        target = Path(path)
        draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        events = [asdict(event) for event in (*self.events, *self.recorded)]
        text = json.dumps({"version": VERSION, "header": self.header, "events": events}, allow_nan=False)
        try:
            draft.write_text(text, encoding="utf-8")
            os.replace(draft, target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OSError(f"cannot save the trace to {target}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote. Raises ValueError that names the file and what is wrong with it."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']!r}, this code reads version {VERSION}")
            header, events = content["header"], [Event(**event) for event in content["events"]]
            if not isinstance(header, dict):
                raise TypeError("header must be an object")
            for event in events:
                check_event(event)
            return cls(header, events)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is not a trace of this program: {type(error).__name__}: {error}") from error


def check_event(event: Event) -> None:
    """Raise ValueError, TypeError or KeyError if a replay or a view could not use an event from a file."""
    data = event.data
    check_count("node", event.node)
    for charge in event.charges:
        Row(**charge)
    if not isinstance(data, dict) or not isinstance(event.ledger, dict):
        raise TypeError("data and ledger must be objects")
    texts: list[Any] = [data[name] for name in TEXTS.get(event.kind, ()) if "why" not in data]
    numbers: list[Any] = [data[name] for name in NUMBERS.get(event.kind, ())]
    texts += data.get("plan", ()) if event.kind == "added" else ()
    if event.kind in DRAWN and "why" not in data:
        for text, tokens, logprobs, _ in data[DRAWN[event.kind]]:
            texts.append(text)
            numbers += [tokens, *logprobs]
    if event.kind == "scored" and "why" not in data:
        numbers += [x for x in data["residuals"] if x is not None]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"a text of {event.kind!r} is no string")
    if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers):
        raise TypeError(f"a number of {event.kind!r} is none")
