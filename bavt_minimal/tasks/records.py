"""Records of large files, one at a time: a JSON array, JSON lines or CSV, in UTF-8. Only the record at hand is held.

Each comes with where it begins, such as "dev.json, line 1, record 57": the authors' arrays are one long line.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

CHUNK = 2**16  # characters that are read at a time
MOST = 2**24  # characters of a record; it bounds what is read before a broken record is told
BLANKS = " \t\n\r"


class Record(NamedTuple):
    """One record and its place in words."""

    where: str
    data: Any


class _Text:
    """A file's text that is not read yet, and the line that it begins in."""

    def __init__(self, file: TextIO):
        self.file, self.text, self.line = file, "", 1

    def grow(self) -> bool:
        """Read as much again; false at the end of the file."""
        more = self.file.read(max(CHUNK, len(self.text)))
        self.text += more
        return bool(more)

    def drop(self, count: int) -> None:
        """Leave the first characters behind."""
        self.line += self.text.count("\n", 0, count)
        self.text = self.text[count:]

    def peek(self) -> str:
        """The next character that is not blank; "" at the end of the file."""
        while True:
            self.drop(len(self.text) - len(self.text.lstrip(BLANKS)))
            if self.text or not self.grow():
                return self.text[:1]

    def take(self, decoder: json.JSONDecoder) -> Any:
        """The object that begins here. Text is added until it is whole, twice as much each time."""
        while True:
            try:
                data, end = decoder.raw_decode(self.text)
            except json.JSONDecodeError as error:
                if len(self.text) < MOST and self.grow():
                    continue
                cut = len(self.text) < MOST
                why = "was the file downloaded whole?" if cut else f"at most {MOST:,} characters are read"
                raise ValueError(f"no JSON object: {error.msg} (character {error.pos + 1} of it); {why}") from None
            self.drop(end)
            return data


def read_array(file: TextIO, name: str) -> Iterator[Record]:
    """The objects of a JSON array."""
    text, number, decoder = _Text(file), 0, json.JSONDecoder(object_pairs_hook=unique)
    place = f"{name}, line 1"
    try:
        if text.peek() != "[":
            raise ValueError(f"must be a JSON array, [{{...}}, {{...}}], {told(text.text)}")
        text.drop(1)
        following = text.peek()
        while following != "]" or number:
            number += 1
            place = f"{name}, line {text.line}, record {number}"
            if following != "{":
                raise ValueError(f"must be a JSON object, {{...}}, {told(text.text)}")
            yield Record(place, text.take(decoder))
            following = text.peek()
            if following == "]":
                break
            place = f"{name}, line {text.line}, after record {number}"
            if following != ",":
                raise ValueError(f"there must be a comma or ], {told(text.text)}")
            text.drop(1)
            following = text.peek()
        text.drop(1)
        rest = text.peek()
        place = f"{name}, line {text.line}, after the array"
        if rest:
            raise ValueError(f"there must be nothing, {told(text.text)}")
    except RecursionError:
        raise ValueError(f"{place}: nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError(f"{place}: not UTF-8 there or soon after; save the file as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def read_lines(file: TextIO, name: str) -> Iterator[Record]:
    """The objects of a file that has one on each line; blank lines are left out."""
    line = 0
    try:
        while text := file.readline(MOST):
            line += 1
            if not text.strip():
                continue
            if len(text) == MOST:
                raise ValueError(f"longer than {MOST:,} characters")
            try:
                data = json.loads(text, object_pairs_hook=unique)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"no JSON object: {error.msg} (character {error.pos + 1}), {told(text)}; was it downloaded whole?"
                ) from None
            yield Record(f"{name}, line {line}", data)
    except RecursionError:
        raise ValueError(f"{name}, line {line}: nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}: not UTF-8 in line {line + 1} or soon after; save the file as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{name}, line {line}: {error}") from None


def read_csv(file: TextIO, name: str) -> Iterator[Record]:
    """The rows of a CSV file by its heads, in lower case, without the blank ones. A text may have several lines."""
    rows, line = csv.reader(file, strict=True), 1
    try:
        heads = [head.strip().lower() for head in next(rows, [])]
        if twice := [head for head in heads if head and heads.count(head) > 1]:
            raise ValueError(f"there are two columns {twice[0]!r}")
        while True:
            line = rows.line_num + 1
            row = next(rows, None)
            if row is None:
                return
            if not any(text.strip() for text in row):
                continue
            if len(row) > len(heads):
                raise ValueError(f"{len(row)} texts, more than the {len(heads)} columns; put quotes around a comma")
            yield Record(f"{name}, line {line}", dict(zip(heads, row, strict=False)))
    except UnicodeDecodeError:
        raise ValueError(f"{name}: not UTF-8 in line {line} or soon after; save the file as UTF-8") from None
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{name}, line {line}: {error}") from None


Reader = Callable[[TextIO, str], Iterator[Record]]


def read_records(path: str | os.PathLike[str], reader: Reader) -> Iterator[Record]:
    """Open a file and read it. Raises OSError, and ValueError that says where."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        yield from reader(file, str(path))


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError if a key is there twice, of which json would keep the last without a word."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} occurs twice in one object")
        result[key] = value
    return result


def told(text: str) -> str:
    """What is there instead."""
    return f"got {text[:20]!r}" if text else "but the file ends"
