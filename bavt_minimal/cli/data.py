"""`--data`, `--format` and `--aliases`: a user's own file, or one of the field's data sets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from ..tasks.data import Gold, World, load_data
from ..tasks.formats import FORMATS, Item, collect, read_questions, suggest
from ..views.fold import plain
from .main import UsageError, UserError


def add_options(parser: argparse.ArgumentParser, default: str = "") -> None:
    """The options of every command that asks questions."""
    parser.add_argument("--data", metavar="FILE", help=f"your own pages and questions, as JSON{default}")
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="--data is a file of this data set, as its authors publish it, or hub:OWNER/NAME#CONFIG@SPLIT",
    )
    parser.add_argument("--aliases", metavar="FILE", help="with --format 2wiki: its authors' id_aliases.json")


def load(args: argparse.Namespace, limit: int | None = None) -> tuple[World, dict[str, Gold]]:
    """Questions and answers; of a data set the first `limit`. Raises UserError."""
    if args.format is not None:
        return collect(islice(read(args), limit))
    check(args)
    with errors(args):
        return load_data(args.data)


def read(args: argparse.Namespace) -> Iterator[Item]:
    """The questions of a data set, one at a time. Raises UserError."""
    check(args)
    with errors(args):
        yield from read_questions(args.data, args.format, args.aliases)


def check(args: argparse.Namespace) -> None:
    """Options that do not go together."""
    if args.format is not None and args.data is None:
        raise UsageError(f"--format {args.format}: it needs --data FILE")
    if args.aliases is not None and args.format != "2wiki":
        raise UsageError("--aliases goes with --format 2wiki only")


@contextmanager
def errors(args: argparse.Namespace) -> Iterator[None]:
    """Tell what is wrong with a file, and which --format it looks like."""
    try:
        yield
    except OSError as error:
        name = args.data if error.filename is None else error.filename
        raise UserError(f"--data {plain(name, 500)}: {error.strerror or error}") from error
    except (ValueError, ImportError) as error:
        found = suggest(args.data)
        hint = "" if found in ("", args.format or "json") else f" It looks like {found}: give --format {found}."
        if found == "json" and args.format is not None:
            hint = " It looks like this project's own JSON: leave --format out."
        raise UserError(f"--data: {error}{hint}") from error
