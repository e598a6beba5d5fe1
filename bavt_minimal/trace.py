"""The one stream of events of a search: views listen to it, a file keeps it, and a search resumes from it.

Resuming replays the recorded events instead of calling the model and the tool, then goes on. JSON only, versioned.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .budget import ROLES, Ledger, Row

VERSION = 1
KINDS = (
    "started",
    "selected",
    "read",
    "expanded",
    "scored",
    "added",
    "pruned",
    "answered",
    "stopped",
)


@dataclass(frozen=True)
class Event:
    """Something that happened at a node, what it cost, and the ledger's state after it."""

    kind: str
    node: int
    data: dict[str, Any]
    charges: list[dict[str, Any]]
    ledger: dict[str, float]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"event kind must be one of {', '.join(KINDS)}, got {self.kind!r}")


@dataclass
class Trace:
    """Settings of a search (`header`) and its events so far."""

    header: dict[str, Any]
    events: list[Event] = field(default_factory=list)
    recorded: deque[Event] = field(default_factory=deque, repr=False)  # still to be replayed

    def resume(self, earlier: Trace) -> None:
        """Replay `earlier` first. Raises ValueError if it was made with other settings."""
        for key in self.header | earlier.header:
            if self.header.get(key) != earlier.header.get(key):
                raise ValueError(
                    f"resume: the trace was made with {key}={earlier.header.get(key)!r}, "
                    f"this search has {self.header.get(key)!r}; use the same settings"
                )
        self.recorded = deque(earlier.events)

    def record(self, kind: str, node: int, ledger: Ledger, work: Callable[[], dict[str, Any]]) -> Event:
        """Do `work` and keep what it returned and charged; in a replay, take both from the earlier trace."""
        if self.recorded:
            event = self.recorded.popleft()
            if (event.kind, event.node) != (kind, node):
                raise ValueError(
                    f"resume: the trace has {event.kind!r} at node {event.node} where this search "
                    f"has {kind!r} at node {node}; it belongs to another search"
                )
            for charge in event.charges:
                ledger.add(Row(**charge))
        else:
            before = len(ledger.rows)
            data = work()
            event = Event(kind, node, data, [asdict(row) for row in ledger.rows[before:]], ledger.state())
        self.events.append(event)
        return event

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON. The file is replaced in one move, so a kill leaves the old or the new one."""
        target = Path(path)
        content = {
            "version": VERSION,
            "header": self.header,
            "events": [asdict(event) for event in self.events],
        }
        try:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(content, file, ensure_ascii=False, allow_nan=False)
                os.replace(name, target)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            raise OSError(f"cannot save the trace to {target}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read what `save` wrote. Raises ValueError that names the file and what is wrong with it."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']!r}, this code reads version {VERSION}")
            events = [Event(**event) for event in content["events"]]
            for row in (Row(**charge) for event in events for charge in event.charges):
                if row.role not in ROLES or min(row.tokens, row.tool_calls, row.prompt_tokens) < 0:
                    raise ValueError(f"a charge that no ledger writes: {row}")
            if not isinstance(content["header"], dict) or not all(isinstance(e.data, dict) for e in events):
                raise ValueError("header and event data must be objects")
            return cls(content["header"], events)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is not a trace of this program: {type(error).__name__}: {error}") from error
