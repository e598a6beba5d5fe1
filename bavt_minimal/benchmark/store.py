"""The rows of a benchmark, on disk: neither a kill nor a full disk loses one that was stored.

`Store` is one SQLite file that grows while the benchmark runs; `write_rows` makes the small file that is shipped.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from sys import intern
from types import TracebackType
from typing import Any

from ..checks import check_count

FORMAT = 1  # of both files
PATIENCE = 10.0  # seconds to wait while another process writes
Row = dict[str, Any]  # the fields of its job, and FIELDS
FIELDS: dict[str, type] = {
    "answer": str,
    "right": float,
    "hops": int,
    "used": int,  # tokens that were charged
    "by_role": dict,  # role -> [tokens, tool calls, prompt tokens]
    "prompt_tokens": int,
    "tool_calls_used": int,
    "reason": str,
    "forced": bool,
    "fault": str,
    "seconds": float,  # the one field that may differ when a job is run again
}
# SQLite's errors that come from the disk or from other processes, and what would help.
ADVICE = {
    sqlite3.SQLITE_BUSY: "another process has locked it: wait for it, or stop it",
    sqlite3.SQLITE_CANTOPEN: "is its folder there, and may you write to it?",
    sqlite3.SQLITE_FULL: "free some space, then resume: all rows that were stored are still there",
    sqlite3.SQLITE_IOERR: "the disk failed: is it full, or was it taken away?",
    sqlite3.SQLITE_PERM: "you may not use it: choose another folder",
    sqlite3.SQLITE_READONLY: "you may not write to it: choose another folder",
}


@dataclass(frozen=True)
class Job:
    """One search to run. None means an unlimited budget."""

    method: str
    tokens: int | None
    tool_calls: int | None
    seed: int
    question: str  # an id, such as "test-20000-1"

    def __post_init__(self) -> None:
        for name in ("method", "question"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a text, got {getattr(self, name)!r}")
        for name in ("tokens", "tool_calls", "seed"):
            if name == "seed" or getattr(self, name) is not None:
                object.__setattr__(self, name, check_count(name, getattr(self, name)))

    @classmethod
    def of(cls, row: Row) -> Job:
        """The job whose row this is."""
        return cls(*(row[field.name] for field in fields(cls)))

    def key(self) -> str:
        """The same for equal jobs only. One text, as SQLite takes two NULLs in a unique key for different."""
        return json.dumps(astuple(self))


def check_row(row: Row) -> Row:
    """Return `row` if it has the fields of its job and FIELDS, each of its type; else raise an error that names one."""
    if not isinstance(row, dict):
        raise TypeError(f"a row must be a dict, got {row!r}")
    names = {field.name for field in fields(Job)} | FIELDS.keys()
    if missing := sorted(names - row.keys()):
        raise ValueError(f"a row must have {', '.join(missing)}, got {row!r}")
    if unknown := sorted(map(str, row.keys() - names)):
        raise ValueError(f"a row must not have {', '.join(unknown)}, got {row!r}")
    job = Job.of(row)
    for name, kind in FIELDS.items():
        value, where = row[name], f"{name} of {job}"
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{where} must be {kind.__name__}, got {value!r}")
        if kind is int:
            check_count(where, value)
        if kind is float and not math.isfinite(row[name]):
            raise ValueError(f"{where} must be finite, got {value!r}")
    for role, units in row["by_role"].items():
        if not isinstance(role, str) or not isinstance(units, list) or len(units) != 3:
            raise TypeError(f"by_role of {job} must map roles to lists of three counts, got {role!r}: {units!r}")
        for unit in units:
            check_count(f"by_role of {job}", unit)
    return row


class Store:
    """The rows of one benchmark in an SQLite file, made if it is not there; one for each job.

    `settings`: what the rows depend on besides their jobs, such as digests of the model and the version of the code. A
    file that was made with others is refused; None takes the file as it is. After a kill, the file that ends in "-wal"
    holds the last rows: leave it where it is, the next `Store` takes it in.
    Raises OSError if the file cannot be used, ValueError if it is no store, or one of other settings.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any] | None = None):
        self.path: Path = Path(path)
        with self._errors():
            self._connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        try:
            with self._errors():
                self.settings: dict[str, Any] = self._open(
                    None if settings is None else json.loads(json.dumps(dict(settings)))
                )
        except BaseException:
            self.close()
            raise

    def _open(self, settings: dict[str, Any] | None) -> dict[str, Any]:
        with self._transaction():
            query = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in query}
            if not tables:
                self._connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
                self._connection.execute("CREATE TABLE rows (job TEXT PRIMARY KEY, row TEXT NOT NULL)")
                texts = [("format", json.dumps(FORMAT)), ("settings", json.dumps(settings or {}))]
                self._connection.executemany("INSERT INTO meta VALUES (?, ?)", texts)
            elif not {"meta", "rows"} <= tables:
                raise ValueError(f"{self.path} is not a benchmark store: it has the tables {', '.join(sorted(tables))}")
            with self._damage():
                meta = {name: json.loads(value) for name, value in self._connection.execute("SELECT * FROM meta")}
        if meta.get("format") != FORMAT:
            raise ValueError(
                f"{self.path} has format {meta.get('format')!r}, this code reads format {FORMAT}; use another file"
            )
        with self._damage():
            made: dict[str, Any] = dict(meta["settings"])
        settings = made if settings is None else settings
        for key in settings | made:
            if settings.get(key) != made.get(key):
                raise ValueError(
                    f"{self.path} was made with {key}={made.get(key)!r}, this run has {settings.get(key)!r}; "
                    "use the same settings or another file"
                )
        self._connection.execute("PRAGMA journal_mode = WAL")
        # What a commit wrote outlives a kill -9 in any mode: by then the operating system has it. FULL would also wait
        # for the disk. Without, a power cut may undo the last commits, whole ones only, and as nothing but this file
        # says that their jobs were done, these are run again.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        return made

    def add(self, rows: Iterable[Row]) -> None:
        """Store all rows or, after an error, none of them. A row that is there already is left as it is.

        Raises ValueError if a job's row is there and differs in more than `seconds`, OSError if the disk is full.
        """
        checked = [check_row(row) for row in rows]
        with self._errors(), self._transaction():
            for row in checked:
                job = Job.of(row)
                query = self._connection.execute("SELECT row FROM rows WHERE job = ?", [job.key()])
                if (found := query.fetchone()) is None:
                    self._connection.execute("INSERT INTO rows VALUES (?, ?)", [job.key(), _text(row)])
                    continue
                with self._damage():
                    there, here = check_row(json.loads(found[0])), json.loads(_text(row))
                for name in FIELDS:
                    if name != "seconds" and there[name] != here[name]:
                        raise ValueError(
                            f"{self.path} has another row for {job}: {name} is {there[name]!r} there and "
                            f"{here[name]!r} here; is everything that it depends on in the settings?"
                        )

    def done(self) -> set[Job]:
        """The jobs that have a row."""
        with self._errors(), self._damage():
            return {Job(*json.loads(key)) for (key,) in self._connection.execute("SELECT job FROM rows")}

    def rows(self) -> list[Row]:
        """All rows, in the order of their jobs' keys: the same in whatever order they came."""
        with self._errors(), self._damage():
            query = self._connection.execute("SELECT row FROM rows ORDER BY job")
            return [check_row(json.loads(text, object_pairs_hook=_shared)) for (text,) in query]

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._connection:  # commits, or rolls back after an error
            self._connection.execute("BEGIN IMMEDIATE")  # the right to write now, not at the first insert
            yield

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Turn what nobody wrote here into an error that says which file: it may come from anywhere."""
        try:
            yield
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{self.path} is damaged: {type(error).__name__}: {error}") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that say which file, and what would help."""
        try:
            yield
        except sqlite3.Error as error:
            if not hasattr(error, "sqlite_errorcode"):  # a wrong use of the module, such as after `close`
                raise
            advice = ADVICE.get(error.sqlite_errorcode & 0xFF)  # the lowest byte is the kind of error
            if advice is None:
                raise ValueError(f"{self.path} is not a benchmark store, or it is damaged: {error}") from error
            raise OSError(f"cannot use the store {self.path}: {error}; {advice}") from error


def _text(row: Row) -> str:
    return json.dumps(row, sort_keys=True, allow_nan=False)


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose texts are kept once in memory, however many rows have them: a third of the bytes."""
    return {intern(name): intern(value) if isinstance(value, str) else value for name, value in pairs}


def write_rows(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Write rows as .xz: one JSON a line in the order of their jobs' keys, and a line with their SHA-256.

    The same rows give the same bytes, in whatever order they come. The file is replaced in one move.
    """
    texts: dict[str, str] = {}
    for row in rows:
        job = Job.of(check_row(row))
        if texts.setdefault(job.key(), _text(row)) != _text(row):
            raise ValueError(f"rows must have one row for each job, got two for {job}")
    body = "".join(f"{texts[key]}\n" for key in sorted(texts)).encode("ascii")
    last = json.dumps({"format": FORMAT, "rows": len(texts), "sha256": hashlib.sha256(body).hexdigest()})
    target = Path(path)
    draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(lzma.compress(body + last.encode("ascii") + b"\n"))
        os.replace(draft, target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(f"cannot write the rows to {target}: {error.strerror or error}") from error


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """Read what `write_rows` wrote. Raises ValueError that names the file if it is damaged or something else."""
    packed = Path(path).read_bytes()
    try:
        lines = lzma.decompress(packed).splitlines(keepends=True)
        body, last = b"".join(lines[:-1]), b"".join(lines[-1:])
        end = json.loads(last)
        if end["format"] != FORMAT:
            raise ValueError(f"format {end['format']!r}, this code reads format {FORMAT}")
        if end["sha256"] != hashlib.sha256(body).hexdigest():
            raise ValueError("the checksum does not fit, fetch it again")
        return [check_row(json.loads(line, object_pairs_hook=_shared)) for line in body.splitlines()]
    except (OSError, EOFError, lzma.LZMAError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is not a file of benchmark rows: {type(error).__name__}: {error}") from error
