"""`bavt bench`: the efficiency benchmark, run or read from the record. Its last line is the headline."""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..views.fold import plain
from .data import add_options, check, load
from .main import DEFAULTS, PLANS, UsageError, UserError, add_length, check_out, count

if TYPE_CHECKING:
    from ..tasks.data import Gold, World

OPTIONS_OF_A_RUN = (
    "preset",
    "budgets",
    "methods",
    "split",
    "questions",
    "skip_worlds",
    "seeds",
    "data",
    "format",
    "aliases",
    "plan",
    "model",
    "max_new_tokens",
    "bank",
    "store",
)


def add_parser(commands: Any) -> None:
    """The command's options."""
    bench = commands.add_parser(
        "bench",
        help="accuracy at equal budgets, against voting and the rest",
        description="Run every method on the same questions, samples and budgets, or print what was recorded. "
        "The last line is the headline: the search at a budget minus a vote at four times that budget.",
    )
    bench.set_defaults(run=run_bench)
    bench.add_argument("--recorded", action="store_true", help="print the published tables from the shipped rows")
    bench.add_argument(
        "--replay", type=count, metavar="N", help="with --recorded: worlds to search again in the bank (default 4)"
    )
    bench.add_argument("--check", type=count, metavar="N", help="draw N states of the shipped bank anew, and compare")
    bench.add_argument("--preset", choices=("tiers", "paper", "guide"), help="which budgets (default tiers)")
    bench.add_argument(
        "--budgets", metavar="T/C,...", help='such as 64/16,256/64: tokens and tool calls, or "any" for no limit'
    )
    bench.add_argument("--methods", metavar='"A;B"', help="these methods of it only")
    bench.add_argument("--split", choices=("dev", "test"), help="whose worlds (default dev)")
    bench.add_argument("--questions", type=count, metavar="N", help="how many (default 30)")
    bench.add_argument("--skip-worlds", type=count, metavar="N", help="leave out the first worlds of the split")
    bench.add_argument("--seeds", type=count, metavar="N", help="searches of each question (default 3)")
    add_options(bench)
    bench.add_argument("--plan", choices=PLANS, help="own: the plans that come with --data are not used")
    bench.add_argument("--model", metavar="SOURCE", help="a folder, a hub id or a server's address")
    add_length(bench)
    bench.add_argument("--bank", metavar="DIR", help="keep here what the model said, so that a later run draws less")
    bench.add_argument("--fresh", action="store_true", help="share no samples, so that the seconds mean something")
    bench.add_argument("--store", metavar="FILE", help="keep the rows here as they come (default bench.sqlite)")
    bench.add_argument("--resume", action="store_true", help="go on with that file")
    bench.add_argument("--jobs", type=count, default=1, metavar="N", help="processes, some 1.2 GB each (default 1)")
    bench.add_argument("--dask", metavar="ADDRESS", help="run on the workers of this Dask scheduler")
    bench.add_argument("--figure", metavar="FILE", help="draw accuracy against budget here, as SVG")
    bench.add_argument("--docs", metavar="FILE", help="with --recorded: write docs/benchmark.md here, and its figure")


def run_bench(args: argparse.Namespace) -> int:
    """Print the record, check it, or run."""
    for name in ("figure", "docs"):  # before any work is done
        if (out := getattr(args, name)) is not None:
            check_out(f"--{name}", out)
    if args.recorded or args.check is not None:
        for name in OPTIONS_OF_A_RUN:
            if getattr(args, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} does not go with --recorded or --check")
        return check_bank(args) if args.check is not None else print_record(args)
    for name in ("replay", "docs"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name} goes with --recorded only")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Run the jobs and print what came of them."""
    from ..benchmark.efficiency import PRESETS, Bench, benchmark_budget_efficiency, questions_of, spread
    from ..benchmark.report import headline
    from ..benchmark.run import dask_executor, process_executor, progress_bar
    from ..benchmark.scores import scores
    from ..benchmark.store import Store

    for name in ("jobs", "seeds"):
        if getattr(args, name) == 0:
            raise UsageError(f"--{name} must be at least 1, got 0")
    if args.bank and Path(args.bank).expanduser().is_file():
        raise UserError(f"--bank {plain(args.bank, 500)}: that is a file; name a folder")
    data = read_data(args)
    bank = Path(args.bank).expanduser() if args.bank else None
    length = args.max_new_tokens or int(DEFAULTS["max_new_tokens"])
    bench = Bench(args.model, data, bank=bank, fresh=args.fresh, max_new_tokens=length)
    own = data is not None or args.model is not None
    if own and args.preset not in (None, "tiers"):
        raise UsageError(f"--preset {args.preset} is for the default model and its questions")
    left_out = bench.left_out()
    if bench.critics and len(left_out) == len(bench.critics):
        raise UserError(f"--model: no critic can judge there, so there is no search to compare: {join(left_out)}")
    plan = bench.plan() if args.preset in (None, "tiers") else PRESETS[args.preset](bench.methods)
    if args.budgets:
        if args.preset:
            raise UsageError("--budgets and --preset do not go together")
        plan = spread(plan, read_budgets(args.budgets))
    if args.methods:
        names = [name.strip() for name in args.methods.split(";")]
        for name in names:
            if name not in plan:
                raise UsageError(f"--methods: no method {name!r}; there are {'; '.join(plan)}")
        plan = {name: plan[name] for name in names}
    if data is None:
        questions = questions_of(
            args.split or "dev", 30 if args.questions is None else args.questions, args.skip_worlds or 0
        )
    elif args.split or args.skip_worlds:
        raise UsageError("--split and --skip-worlds are for generated worlds, not for --data")
    else:
        questions = [question.id for question in data[0].questions if question.id in data[1]][: args.questions]
    if len(questions) < 2:
        raise UsageError(f"an interval needs 2 questions or more, got {len(questions)}")
    if args.dask and args.jobs != 1:
        raise UsageError("--jobs and --dask do not go together")
    executor: Any = partial(dask_executor, args.dask) if args.dask else None
    if args.jobs > 1:
        executor = partial(process_executor, args.jobs)
    path = Path(args.store or "bench.sqlite").expanduser()
    if path.exists() and not args.resume:
        raise UsageError(
            f"--store {plain(str(path), 500)}: is there already; go on with it by --resume, or name another"
        )
    if left_out:
        print(f"left out: {join(left_out)}", file=sys.stderr)
    with Store(path, settings_of(args)) as store, progress_bar(disable=None) as progress:
        seeds = 3 if args.seeds is None else args.seeds
        rows = benchmark_budget_efficiency(bench, plan, questions, seeds, store, executor, progress)
    scored = scores(rows)
    show(scored, args.figure)
    if data is not None and args.format is not None:
        from ..benchmark.official import official_table

        print(f"\n{official_table(rows, data[1], args.format).to_text()}")
    print(f"\n{len(rows)} rows in {plain(str(path), 500)}\n{headline(scored)}")
    return 0


def join(left_out: dict[str, str]) -> str:
    """Critics that a model cannot serve, on a line."""
    return "; ".join(f"critic {name} ({plain(why, 300)})" for name, why in left_out.items())


def read_data(args: argparse.Namespace) -> tuple[World, dict[str, Gold]] | None:
    """The questions of --data that have an answer, the first --questions of them; None without."""
    check(args)
    if args.data is None:
        if args.plan is not None:
            raise UsageError(f"--plan {args.plan} goes with --data only")
        return None
    world, golds = load(args, args.questions)
    if not golds:
        raise UserError(
            f"--data {plain(args.data, 500)}: none of its {len(world.questions)} questions has an answer to compare "
            "with; is it a test file?"
        )
    if args.plan == "own":
        world = replace(world, questions=tuple(replace(question, plan=()) for question in world.questions))
        golds = {id: replace(gold, path=()) for id, gold in golds.items()}
    if not (world.pages or world.own_pages):
        said = f"{plain(args.data, 500)} has no pages: nothing is looked up, and the model answers from memory"
        print(f"bavt: {said}", file=sys.stderr)
    return world, golds


def read_budgets(text: str) -> list[tuple[int | None, int | None]]:
    """Budgets from "64/16,any/20"."""
    found = []
    for part in text.split(","):
        units = [None if unit.strip() == "any" else unit.strip() for unit in part.split("/")]
        if len(units) != 2 or not all(unit is None or (unit.isascii() and unit.isdigit()) for unit in units):
            raise UsageError(f"--budgets must be like 64/16,any/20, tokens/tool calls, got {plain(part, 40)!r}")
        found.append(tuple(None if unit is None else int(unit) for unit in units))
    return found  # type: ignore[return-value]


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the rows of a store depend on besides their jobs."""
    from .. import __version__
    from ..benchmark.efficiency import digests

    asked = {"model": args.model or "default", "data": args.data, "fresh": args.fresh}
    # Not there in a store of an earlier version, which is as if they were None.
    asked |= {"format": args.format, "aliases": args.aliases, "plan": "own" if args.plan == "own" else None}
    asked["max_new_tokens"] = None if args.max_new_tokens == DEFAULTS["max_new_tokens"] else args.max_new_tokens
    return {"version": __version__, **asked, **digests()}


def print_record(args: argparse.Namespace) -> int:
    """The published tables, after some of their rows were searched again in the bank."""
    from ..benchmark import recorded
    from ..benchmark.document import document
    from ..benchmark.report import headline
    from ..benchmark.scores import scores

    rows, seconds = recorded.rows(), recorded.seconds()
    data = scores(rows)
    differ: list[str] = []
    show(data, args.figure, seconds)
    if args.docs:
        out = Path(args.docs).expanduser()
        draw(out.with_suffix(".svg"), data)
        write(out, document(data, seconds, recorded.facts(), out.with_suffix(".svg").name))
    if worlds := 4 if args.replay is None else args.replay:
        again, differ, took = recorded.replay(rows, worlds, random.SystemRandom())
        print(f"\nsearched {again} rows of {worlds} worlds again in the bank: {len(differ)} differ ({took:.0f} s)")
        for line in differ[:5]:
            print(f"  differs: {line}")
    print(headline(data))
    return int(bool(differ))


def check_bank(args: argparse.Namespace) -> int:
    """Draw states of the bank anew."""
    from ..benchmark import recorded

    if not args.check:
        raise UsageError("--check must be at least 1, got 0")
    print(f"drawing {args.check} states of the bank anew ...", file=sys.stderr)
    found = recorded.check(args.check, random.SystemRandom())
    for line in found.differences[:10]:
        print(f"  differs: {plain(line, 300)}")
    print(found)
    return int(bool(found.differences))


def show(data: Any, figure: str | None, seconds: Any = None) -> None:
    """Print the tables, and draw the figure if one is wanted."""
    from ..benchmark.report import tables

    for table in tables(data, seconds):
        print(f"\n{table.to_text()}")
    if figure is not None:
        draw(Path(figure).expanduser(), data)


def draw(path: Path, data: Any) -> None:
    """Write the figure, the same bytes for the same rows."""
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError('a figure needs matplotlib; run: pip install "bavt-minimal[notebooks]"') from error
    from ..benchmark.document import figure

    with matplotlib.rc_context({"svg.hashsalt": "bavt"}):
        figure(data).savefig(path, format="svg", metadata={"Date": None})
    print(f"wrote {plain(str(path), 500)}")


def write(path: Path, text: str) -> None:
    """Write a text file."""
    path.write_text(text, encoding="utf-8")
    print(f"wrote {plain(str(path), 500)}")
