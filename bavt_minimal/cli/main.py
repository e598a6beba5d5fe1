"""Arguments, exit codes and errors of `bavt`. Torch is imported by the commands that need the model, when they do.

Exit codes: 0 answered, 1 something is wrong with a file, the data or the machine, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..trace import Trace
from ..views.fold import fold, plain
from ..views.svg import render_svg
from ..views.text import render_text

METHODS = ("bavt", "parallel", "rerank")
SELECTIONS = ("bavt", "ucb", "scaled-ucb", "greedy", "uniform")
CRITICS = ("adapter", "mix", "head", "logprob", "prompted", "constant")
PLANS = ("given", "own")
DEFAULTS: dict[str, int | str] = {
    "tokens": 64,
    "tool_calls": 16,
    "max_new_tokens": 8,
    "method": "bavt",
    "selection": "bavt",
    "seed": 0,
}


class UserError(Exception):
    """Something that the user can mend; the message says what."""


class UsageError(UserError):
    """Options that do not go together."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the terminal lacks must not end a search
            stream.reconfigure(errors="replace")
    try:
        parser = make_parser()
        args = parser.parse_args(arguments)
        code = 0
        if args.command:
            code = args.run(args)
        else:
            parser.print_help()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("bavt: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        discard_output()
        return 1
    except Exception as error:
        if os.environ.get("BAVT_DEBUG"):
            raise
        print(f"bavt: error: {explain(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # the error was that of stdout
            discard_output()
        return 2 if isinstance(error, UsageError) else 1


def discard_output() -> None:
    """Stdout cannot be written to. Python would complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    from . import bench, data, pays  # here, because they import this module

    parser = argparse.ArgumentParser(
        prog="bavt", description="Answer questions by Budget-Aware Value Tree search on a small language model."
    )
    parser.add_argument("--version", action="version", version=f"bavt {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    ask = commands.add_parser("ask", help="answer a question", description="Answer a question within a budget.")
    ask.set_defaults(run=run_ask)
    ask.add_argument("question", nargs="?", type=question, help="default: the first of --data, or a built-in one")
    ask.add_argument(
        "--tokens", type=count, metavar="N", help="tokens that may be generated (default 64; 128 if it plans)"
    )
    ask.add_argument("--tool-calls", type=count, metavar="N", help="pages that may be looked up (default 16)")
    add_length(ask)
    ask.add_argument("--method", choices=METHODS, help="tree search, chains and a vote, chains and a critic")
    ask.add_argument("--selection", choices=SELECTIONS, help="which step to go on from (method bavt)")
    ask.add_argument(
        "--critic",
        choices=CRITICS,
        help="who judges a step (methods bavt and rerank; default: adapter, or logprob with another --model)",
    )
    ask.add_argument(
        "--plan",
        choices=PLANS,
        help="follow the plan that comes with the question, or plans of its own (default: given where there is one)",
    )
    ask.add_argument("--seed", type=count, metavar="N", help="another seed draws other steps (default 0)")
    data.add_options(ask)
    ask.add_argument(
        "--model",
        metavar="SOURCE",
        help="a folder, a hub id, or a server's address such as http://localhost:8000#NAME, its key in BAVT_API_KEY "
        "(default: SmolLM2-135M-Instruct)",
    )
    ask.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    ask.add_argument("--save", metavar="FILE", help="keep the trace here, up to date after every expansion")
    ask.add_argument("--resume", metavar="FILE", help="go on with this trace; its settings and its file are used")

    show = commands.add_parser("show", help="print a saved trace", description="Print a saved trace as a tree.")
    show.set_defaults(run=run_show)
    show.add_argument("file", metavar="FILE", help="a trace that `bavt ask --save` wrote")
    show.add_argument("--svg", metavar="OUT", help="write a picture here instead")

    judge = commands.add_parser(
        "critics",
        help="compare the critics on unseen worlds",
        description="Judge every critic on the model's own steps in unseen worlds. The last line has the best AUC.",
    )
    judge.set_defaults(run=run_critics)
    judge.add_argument("--steps", type=count, default=2000, metavar="N", help="steps to judge (default 2000)")
    judge.add_argument("--split", choices=("test", "dev"), default="test", help="whose worlds (default test)")
    judge.add_argument("--skip-worlds", type=count, default=0, metavar="N", help="leave out the first worlds of it")
    judge.add_argument("--model", metavar="SOURCE", help="a folder or a hub id (default: SmolLM2-135M-Instruct)")
    judge.add_argument("--only", metavar="NAME,...", help="these critics only")
    judge.add_argument("--by-relation", action="store_true", help="AUC for each relation too")
    judge.add_argument("--out", metavar="FILE", help="write the figures here, as JSON")

    bench.add_parser(commands)
    pays.add_parser(commands)

    train = commands.add_parser(
        "train",
        help="train an adapter or a head",
        description="Train an adapter or a head from ground-truth labels. A run that was cut off is gone on with.",
    )
    train.set_defaults(run=run_train)
    train.add_argument("role", choices=("critic", "planner", "head"), help="what to train")
    train.add_argument("--out", metavar="DIR", help="where to (default: trained/ROLE, here)")
    train.add_argument(
        "--steps", type=count, metavar="N", help="training steps; for the head, steps of the model to fit to"
    )
    train.add_argument("--seed", type=count, default=0, metavar="N", help="of the first weights (default 0)")
    train.add_argument("--threads", type=count, metavar="N", help="of the processor (default: torch's choice)")
    train.add_argument("--model", metavar="SOURCE", help="a folder or a hub id (default: SmolLM2-135M-Instruct)")

    fetch = commands.add_parser(
        "fetch", help="download the model's weights", description="Download the model's weights, once."
    )
    fetch.set_defaults(run=run_fetch)
    return parser


def count(text: str) -> int:
    """A whole number of 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 999999999999, got {plain(text, 40)!r}")
    return int(text)


def some(text: str) -> int:
    """A whole number of 1 or more."""
    if (number := count(text)) == 0:
        raise argparse.ArgumentTypeError("must be at least 1, got 0")
    return number


def add_length(parser: argparse.ArgumentParser) -> None:
    """The option for how long a step may be."""
    parser.add_argument(
        "--max-new-tokens", type=some, metavar="N", help="of a step; the rest of a longer one is cut off (default 8)"
    )


def check_out(option: str, name: str) -> Path:
    """A path that a file can be written to. Raises UserError, before any work is done, if its folder is not there."""
    path = Path(name).expanduser()
    if path.is_dir():
        raise UserError(f"{option} {plain(name, 500)}: that is a folder; name a file in it")
    if not path.parent.is_dir():
        raise UserError(f"{option} {plain(name, 500)}: there is no such folder")
    return path


def question(text: str) -> str:
    """A question that is not blank."""
    if not plain(text):
        raise argparse.ArgumentTypeError("must not be empty; leave it out to ask the built-in question")
    return text


def run_ask(args: argparse.Namespace) -> int:
    """Check everything that can be checked without the model, then load it and search."""
    from rich.console import Console

    from .ask import ask, check_server, prepare

    job = prepare(args)
    if sys.stderr.isatty():
        print(f"Loading {plain(args.model or 'the model', 80)} ...", file=sys.stderr, flush=True)
    from ..models import ServerModel, load_model

    model = load_model(args.model)
    if isinstance(model, ServerModel):
        check_server(job, model, args.critic is not None)
    return ask(job, model, Console())


def run_show(args: argparse.Namespace) -> int:
    """Print a trace as text, or write it as SVG."""
    trace = read_trace("FILE", args.file)
    if args.svg is None and sys.stdout.isatty():
        from rich.console import Console

        from ..views.terminal import report

        report(fold(trace.events), Console())
        return 0
    if args.svg is None:
        sys.stdout.write(render_text(trace))
        return 0
    out = Path(args.svg)
    if out.exists() and (not out.is_file() or out.samefile(args.file)):
        raise UserError(
            f"--svg {args.svg}: that is {'the trace itself' if out.is_file() else 'not a file'}; name another"
        )
    picture = render_svg(trace)
    try:
        out.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--svg {args.svg}: {error.strerror or error}") from error
    print(f"wrote {plain(args.svg, 500)}")
    return 0


def run_critics(args: argparse.Namespace) -> int:
    """Judge the critics."""
    from .critics import run

    return run(args)


def run_train(args: argparse.Namespace) -> int:
    """Train an adapter or a head."""
    from .train import run

    return run(args)


def run_fetch(args: argparse.Namespace) -> int:
    """Download the default model's weights unless they are there."""
    from ..models import fetch_default

    print(f"the model is in {plain(fetch_default(), 500)}")
    return 0


def read_trace(option: str, path: str) -> Trace:
    """Load a trace; an error names the option."""
    try:
        return Trace.load(path)
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{option}: {error}") from error


def explain(error: BaseException) -> str:
    """One clear line."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return plain(f"{error.filename}: {error.strerror}", 1000)
    said = plain(error, 1000)
    if isinstance(error, (UserError, ValueError, OSError, RuntimeError)) and said:
        return said
    return f"{type(error).__name__}: {said} (BAVT_DEBUG=1 shows where)"


if __name__ == "__main__":
    sys.exit(main())
