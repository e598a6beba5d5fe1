"""`bavt pays`: will the search pay on your questions? Its last line says so."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..views.fold import plain
from .data import add_options, check, load, read
from .main import CRITICS, DEFAULTS, UsageError, UserError, add_length, check_out, count

if TYPE_CHECKING:
    from ..benchmark.measure import Case

TOKENS = (32, 64, 128, 256)
QUESTIONS = 45
TOKENS_PER_CALL = 4
CHECKED = (
    "How far to believe this: published questions, forecast from their own states, came out as measured, but for\n"
    "voting (.04 too low) and one greedy chain (.02). Other questions have other luck: with nine pairs of actor and\n"
    "critic .92 of the accuracies and .77 of the gains came out in their intervals. Ask more questions to know more."
)


def add_parser(commands: Any) -> None:
    """The command's options."""
    pays = commands.add_parser(
        "pays",
        help="will the search pay on your questions?",
        description="Measure model and critic on 30 to 100 of your questions that have a plan and an answer, and "
        "forecast what the search, voting, reranking and one greedy chain get right. The last line is the verdict.",
    )
    pays.set_defaults(run=run)
    add_options(pays, " (default: generated ones)")
    pays.add_argument("--model", metavar="SOURCE", help="a folder, a hub id or a server's address")
    pays.add_argument(
        "--critic", choices=CRITICS, help="who judges a step (default: adapter, or logprob with another --model)"
    )
    add_length(pays)
    pays.add_argument("--questions", type=count, metavar="N", help=f"the first so many (default {QUESTIONS})")
    pays.add_argument("--seed", type=count, default=0, metavar="N", help="another seed draws other steps (default 0)")
    pays.add_argument(
        "--tokens",
        metavar="N,...",
        help=f"budgets, with a lookup for every {TOKENS_PER_CALL} tokens (default {','.join(map(str, TOKENS))})",
    )
    pays.add_argument("--out", metavar="FILE", help="write the figures here, as JSON")


def run(args: argparse.Namespace) -> int:
    """Check what can be checked without the model, measure, simulate, print."""
    budgets, cases = read_tokens(args.tokens), read_cases(args)
    if args.out:
        check_out("--out", args.out)
    from ..models import load_model

    model = load_model(args.model)
    return pays(args, model, load_critic(args, model), cases, budgets)


def read_tokens(text: str | None) -> list[tuple[int, int]]:
    """Budgets from "32,64"."""
    parts = [part.strip() for part in text.split(",")] if text is not None else [*map(str, TOKENS)]
    for part in parts:
        if not (part.isascii() and part.isdigit() and len(part) <= 6 and int(part)):
            raise UsageError(f"--tokens must be like 32,64, whole numbers from 1 to 999999, got {plain(part, 40)!r}")
    return [(tokens, -(-tokens // TOKENS_PER_CALL)) for tokens in sorted({int(part) for part in parts})]


def read_cases(args: argparse.Namespace) -> list[Case]:
    """The questions that have a plan and an answer."""
    from ..benchmark.efficiency import questions_of, world_of
    from ..benchmark.measure import LEAST, cases_of
    from ..tasks.formats import collect

    most = QUESTIONS if args.questions is None else args.questions
    if most < LEAST:
        raise UsageError(f"--questions must be at least {LEAST}, got {most}")
    check(args)
    if args.data is None:
        names = questions_of("dev", most)
        return [
            case
            for name in dict.fromkeys(name.rpartition("-")[0] for name in names)
            for case in cases_of(*world_of(f"{name}-0"))
        ][:most]
    if args.format is None:
        data, golds = load(args)
    else:  # no more of a large file than is needed, and no pages of what cannot be used
        items, usable = [], 0
        for item in read(args):
            use = item.gold is not None and bool(item.question.plan)
            items.append(item if use else item._replace(pages={}))
            usable += use
            if usable == most:
                break
        data, golds = collect(items)
    cases = cases_of(data, golds)
    planned = [case for case in cases if case.question.plan]
    if len(planned) < LEAST:
        raise UserError(
            f"--data {plain(args.data, 500)}: at least {LEAST} questions must have a plan and an answer; of "
            f"{len(data.questions)} questions {len(cases)} have an answer, and {len(planned)} of these a plan"
        )
    return planned[:most]


def load_critic(args: argparse.Namespace, model: Any) -> Any:
    """The critic that was asked for, or the default one."""
    from ..critics.agent import load_critic
    from ..models import ServerModel

    name = args.critic or ("adapter" if args.model is None else "logprob")
    if isinstance(model, ServerModel):
        if name not in ("logprob", "prompted", "constant"):
            raise UsageError(f"--critic {name}: a server's model takes no adapters; give logprob, prompted or constant")
        if name == "logprob" and not model.gives_logprobs():
            raise UserError("--critic logprob: the server gives no log-probabilities")
    return load_critic(name, model)


def pays(args: argparse.Namespace, model: Any, critic: Any, cases: list[Case], budgets: list[tuple[int, int]]) -> int:
    """Measure, simulate, print; the critic is any callable."""
    from tqdm.auto import tqdm

    from ..benchmark.measure import measure
    from ..benchmark.pays import forecast

    bar = partial(tqdm, file=sys.stderr, disable=None, leave=False)
    known = sum(bool(case.gold.path) for case in cases)
    options = {"seed": args.seed, "max_new_tokens": args.max_new_tokens or DEFAULTS["max_new_tokens"]}
    found = measure(model, critic, cases, progress=partial(bar, desc="questions"), **options)
    rule = "the gold answers of its sub-questions" if known else "whether a drawn chain through it reaches the answer"
    print(f"{model.name}: a step is right by {rule}\n{found}\n", flush=True)
    said = forecast(found, budgets, seed=args.seed, progress=partial(bar, desc="simulated"))
    print(f"{said.table()}\n\n{CHECKED}\n")
    for sentence in said.sentences():
        print(sentence)
    if args.out:
        path = Path(args.out).expanduser()
        try:
            path.write_text(json.dumps(said.to_json(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {plain(args.out, 500)}: {error.strerror or error}") from error
    return 0
