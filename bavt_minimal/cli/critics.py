"""`bavt critics`: judge every critic on steps of unseen worlds. Its last line has the best AUC."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..critics.data import check_apart, draw_steps
from ..critics.evaluate import CONTROLS, Row, best, critics, evaluate_all, wanted_layers
from ..models import is_url, load_model
from .main import UsageError, check_out


def run(args: argparse.Namespace) -> int:
    """Draw the steps, judge them by each critic, print the table."""
    if args.steps < 1:
        raise UsageError("--steps must be at least 1, got 0")
    if is_url(args.model):
        raise UsageError(f"--model {args.model}: critics are compared on a model's weights; give a folder or a hub id")
    if args.out:
        check_out("--out", args.out)
    console, model = Console(), load_model(args.model)
    names = list(critics(model)) if args.only is None else args.only.split(",")
    for name in names:
        if name not in critics(model):
            raise UsageError(f"--only: no critic {name!r}; there are {', '.join(critics(model))}")
    layers = wanted_layers(model, names)
    sets = []
    for unseen in (False, True):
        steps = (args.steps + 1) // 2 if unseen else args.steps
        sets.append(list(draw_steps(model, args.split, steps, layers, args.skip_worlds, unseen)))
        check_apart(sets[-1], args.split, unseen)
    said = ", ".join(f"{len(s)} steps of {len({x.reading.seed for x in s})} worlds" for s in sets)
    print(f"{model.name}, {args.split}: {said} (unseen relations and wording); prompted forms: a quarter of them")
    rows = []
    for row in evaluate_all(model, names, *sets):
        print(f"  {row.name}: {row.note or f'AUC {_short(row.auc and row.auc.value)}'}", flush=True)
        rows.append(row)
    console.print(table(rows))
    print("tokens, prompt tokens and milliseconds are those of judging one step; * is a control, which cannot know")
    if args.by_relation:
        console.print(relation_table(rows))
    if args.out:
        Path(args.out).expanduser().write_text(
            json.dumps([row.to_json() for row in rows], indent=1) + "\n", encoding="utf-8"
        )
    winner = best(rows)
    if winner is None or winner.auc is None:
        print("best AUC unknown: no critic could be judged")
        return 1
    print(f"best AUC {winner.auc.value:.3f} [{winner.auc.low:.3f}, {winner.auc.high:.3f}] {winner.name}")
    return 0


def table(rows: Sequence[Row]) -> Table:
    """One row a critic; 80 columns wide."""
    shown = _table("critic", "AUC 95 %", "unseen 95 %", "ECE", "Brier", "tokens", "prompt", "ms")
    for row in rows:
        name = f"{row.name} *" if row.name in CONTROLS else row.name
        if row.auc is None or row.cost is None:
            shown.add_row(name, row.note.split(":")[0])
            continue
        aucs = [
            "" if x is None else f"{_short(x.value)} {_short(x.low)}-{_short(x.high)}" for x in (row.auc, row.unseen)
        ]
        costs = [f"{row.cost.generated:.0f}", f"{row.cost.prompt:.0f}", f"{row.cost.milliseconds:.0f}"]
        shown.add_row(name, *aucs, _short(row.ece), _short(row.brier), *costs)
    return shown


def relation_table(rows: Sequence[Row]) -> Table:
    """AUC by relation; the prompted forms' are in the file of --out."""
    judged = [row for row in rows if row.by_relation is not None and not row.name.startswith("prompted")]
    shown = _table("AUC by relation", *[row.name for row in judged])
    for relation in sorted({name for row in judged for name in row.by_relation or ()}):
        shown.add_row(relation, *[_short((row.by_relation or {}).get(relation)) for row in judged])
    return shown


def _table(*heads: str) -> Table:
    shown = Table(box=None, padding=(0, 1, 0, 0))
    for head in heads:
        shown.add_column(head, justify="left" if head == heads[0] else "right", no_wrap=True)
    return shown


def _short(figure: float | None) -> str:
    return "-" if figure is None or figure != figure else f"{figure:.3f}".removeprefix("0")
