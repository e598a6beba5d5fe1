"""The forecast of `bavt pays` beside what was measured: three actors by three critics on the real model.

    python benchmarks/forecast.py --recorded 90                      # minutes: what the simulation itself gets wrong
    python benchmarks/forecast.py --bank forecast-bank --jobs 2      # most of an hour; a killed run goes on

The first forecasts published test questions from their own recorded states, so that no other question's luck is in the
difference; what the record lacks of these is drawn. The second has nine pairs, each forecast from dev questions and
measured on test questions, one seed, all of them on the same samples; what the models said is kept in the bank, one
role a strength.

An actor is the base model, or the base model with a share of the critic's adapter, which makes it read better. A critic
is the likelihood of a step under the model with a share of that adapter.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from bavt_minimal import Budget, DualRoleLLMAgent, Sample
from bavt_minimal.benchmark.bank import SEEDS, STEP, Bank, Remembered
from bavt_minimal.benchmark.efficiency import TIERS, load, questions_of, remembered_parts, world_of
from bavt_minimal.benchmark.measure import Case, Measured, Seen, cases_of, look, short
from bavt_minimal.benchmark.methods import ONE_CHAIN, Method, Parts, chains, tree
from bavt_minimal.benchmark.pays import BAVT, CHAIN, OTHERS, RERANK, VOTE, Forecast, forecast
from bavt_minimal.benchmark.recorded import BANK, FOLDER, SKIPPED
from bavt_minimal.benchmark.run import process_executor
from bavt_minimal.benchmark.scores import Interval, intervals
from bavt_minimal.benchmark.store import read_rows
from bavt_minimal.critics.adapter import AdapterCritic

ACTORS = (0.0, 0.3, 0.6)  # shares of the adapter
CRITICS = (0.0, 0.3, 1.0)
PAIRS = [(actor, critic) for actor in ACTORS for critic in CRITICS]
ALONE = (VOTE, CHAIN)  # no critic has a say
MEASURED = (VOTE, CHAIN, RERANK, BAVT)
FREE: Mapping[str, Method] = {VOTE: chains(), CHAIN: chains(**ONE_CHAIN)}
JUDGED: Mapping[str, Method] = {RERANK: chains("own"), BAVT: tree("own")}
Pair = tuple[float, float]  # actor, critic
Cell = tuple[str, int | None, int | None]  # method, tokens, tool calls


class All(Remembered):
    """Draws of all seeds of a bank, which are made at once, as those of one."""

    def sample(self, prompt: str, k: int, *, first: int = 0, seed: int = 0, **options: Any) -> list[Sample]:
        """Draw j is the bank's number j."""
        numbers = range(first, first + k)
        one = super().sample
        return [one(prompt, 1, first=j // SEEDS, seed=seed * SEEDS + j % SEEDS, **options)[0] for j in numbers]


@cache
def view(strength: float) -> Any:
    """The model with a share of the adapter, once a process."""
    return load().with_adapter("critic", strength)


def remembered(bank: Bank, strength: float, kind: type[Remembered] = Remembered) -> Remembered:
    """The same, asking the bank first. The base model has the role "", as in other banks."""
    return kind(bank, partial(view, strength), f"critic {strength:g}" if strength else "")


def cases(world: str, wanted: Iterable[str]) -> list[Case]:
    """Those of the questions that a world has."""
    names = set(wanted)
    return [case for case in cases_of(*world_of(f"{world}-0")) if case.question.id in names]


def look_at(folder: Path, wanted: frozenset[str], world: str) -> dict[Pair, list[Seen]]:
    """What the forecasts are made from."""
    bank, found = Bank(folder / f"{world}.json.xz"), dict[Pair, list[Seen]]()
    critics = {strength: AdapterCritic(remembered(bank, strength)) for strength in CRITICS}
    for case in cases(world, wanted):
        for actor, critic in PAIRS:
            seen = look(remembered(bank, actor, All), critics[critic], case, draws=STEP[0])
            found.setdefault((actor, critic), []).append(seen)
        bank.save()
    return found


def search(
    folder: Path, wanted: frozenset[str], world: str, judged: Mapping[str, Method] = JUDGED
) -> dict[Pair, list[dict[Cell, float]]]:
    """What was right, by question. `judged`: methods with a critic, named "own"."""
    bank, found = Bank(folder / f"{world}.json.xz"), dict[Pair, list[dict[Cell, float]]]()
    actors = {strength: remembered(bank, strength) for strength in ACTORS}
    critics = {strength: AdapterCritic(remembered(bank, strength)) for strength in CRITICS}

    def run(methods: Mapping[str, Method], parts: Parts, case: Case) -> dict[Cell, float]:
        right: dict[Cell, float] = {}
        for name, method in methods.items():
            for tokens, calls in reversed(TIERS):  # the largest first, whose samples the others share
                searcher = method(parts, Budget(tokens, calls), case.tool, 0, case.gold)
                answer = searcher.search(case.question.text, plan=case.question.plan).answer
                right[name, tokens, calls] = DualRoleLLMAgent.evaluate(answer, case.gold)
        return right

    for case in cases(world, wanted):
        # First what all actors say, for a critic reads all that was said in a state at once.
        alone = {actor: run(FREE, Parts(model), case) for actor, model in actors.items()}
        for actor, critic in PAIRS:
            own = run(judged, Parts(actors[actor], {"own": critics[critic]}), case)
            found.setdefault((actor, critic), []).append(alone[actor] | own)
            bank.save()
    return found


def look_at_recorded(count: int) -> tuple[Measured, list[dict[Cell, float]]]:
    """The published test questions: their states, and what was right, the mean of the seeds."""
    questions, seen, rows = questions_of("test", count, SKIPPED), list[Seen](), dict[str, dict[Cell, list[float]]]()
    names = {"vote": VOTE, "greedy chain": CHAIN, "rerank, adapter": RERANK, "bavt, adapter": BAVT}
    for row in read_rows(FOLDER / "test.jsonl.xz"):
        if row["method"] in names:
            cell = names[row["method"]], row["tokens"], row["tool_calls"]
            rows.setdefault(row["question"], {}).setdefault(cell, []).append(row["right"])
    for world in tqdm(dict.fromkeys(name.rpartition("-")[0] for name in questions), desc="test worlds"):
        bank = Bank(BANK / f"{world}.json.xz")
        model, critic = remembered(bank, 0.0, All), remembered_parts(bank, offline=False).critics["adapter"]
        seen += [look(model, critic, case, draws=STEP[0]) for case in cases(world, questions)]
    means = [{cell: float(np.mean(right)) for cell, right in rows[name].items()} for name in questions]
    return Measured(tuple(seen), AdapterCritic.scale), means


def foretell(measured: Measured) -> Forecast:
    """For a pool."""
    return forecast(measured)


class Compared(NamedTuple):
    """A forecast beside what was measured."""

    actor: float
    critic: float
    what: str
    tokens: int | None
    forecast: Interval
    measured: Interval

    @property
    def covered(self) -> bool:
        """Whether the measured value lies in the forecast's interval."""
        return self.forecast.low <= self.measured.value <= self.forecast.high

    @property
    def agrees(self) -> bool:
        """Whether they differ by no more than both intervals explain: the measured value has an error too."""
        both = [(each.high - each.low) / 2 for each in (self.forecast, self.measured)]
        return abs(self.forecast.value - self.measured.value) <= math.hypot(*both) + 1e-9


def compare(pair: Pair, said: Forecast, rows: list[dict[Cell, float]]) -> list[Compared]:
    """Accuracies, and what the search gains."""
    found = []
    for budget in TIERS:
        values = {name: np.array([row[name, *budget] for row in rows]) for name in MEASURED}
        columns = {name: (said.accuracy(name, budget), values[name]) for name in MEASURED}
        columns |= {f"BAVT - {o}": (said.gain(BAVT, o, budget), values[BAVT] - values[o]) for o in OTHERS}
        measured = intervals(np.stack([column for _, column in columns.values()], axis=1))
        for (what, (expected, _)), seen in zip(columns.items(), measured, strict=True):
            if seen is not None:
                found.append(Compared(*pair, what, budget[0], expected, seen))
    return found


def report(rows: list[Compared], measured: Mapping[Pair, Measured]) -> str:
    """Every pair, then how good the forecasts were."""
    lines = []
    for pair in measured:
        lines.append(f"actor {pair[0]:g}, critic {pair[1]:g}: {measured[pair]}")
        lines.append(f"{'':<28}{'tokens':>7}{'forecast':>22}{'measured':>22}  covered")
        for row in rows:
            if (row.actor, row.critic) == pair:
                signed = row.what not in MEASURED
                said = "".join(f"{short(each, signed):>22}" for each in (row.forecast, row.measured))
                word = "yes" if row.covered else "agrees" if row.agrees else "no"
                lines.append(f"{row.what:<28}{row.tokens:>7}{said}  {word}")
        lines.append("")
    lines.append("covered: the measured value is in the forecast's interval. agrees: they differ by no more than both")
    lines.append("intervals explain. Without a critic a method is counted once an actor.")
    lines.append(f"{'':<28}{'n':>4}{'covered':>9}{'agrees':>9}{'mean error':>12}{'mean absolute error':>22}")
    # No critic, no difference between its pairs.
    first = {actor: critic for actor, critic in reversed(list(measured))}
    counted = [row for row in rows if row.what not in ALONE or row.critic == first[row.actor]]
    groups = {what: [row for row in counted if row.what == what] for what in dict.fromkeys(r.what for r in rows)}
    groups["all accuracies"] = [row for row in counted if row.what in MEASURED]
    groups["all gains"] = gains = [row for row in counted if row.what not in MEASURED]
    for what, own in groups.items():
        errors = np.array([row.forecast.value - row.measured.value for row in own])
        shares = "".join(f"{np.mean([getattr(row, name) for row in own]):>9.2f}" for name in ("covered", "agrees"))
        lines.append(f"{what:<28}{len(own):>4}{shares}{errors.mean():>+12.3f}{np.abs(errors).mean():>22.3f}")
    for one, other in (("measured", "forecast"), ("forecast", "measured")):
        sure = [row for row in gains if getattr(row, one).low > 0 or getattr(row, one).high < 0]
        same = sum(row.forecast.value * row.measured.value > 0 for row in sure)
        lines.append(
            f"{one} gains whose interval is clear of 0: {len(sure)}; the {other} one has the same sign: {same}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recorded", type=int, metavar="N", help="the first so many published questions, and no pairs")
    what.add_argument("--bank", type=Path, help="a folder; what the models said is kept there")
    parser.add_argument("--dev-questions", type=int, default=45)
    parser.add_argument("--test-questions", type=int, default=60)
    parser.add_argument("--skip-worlds", type=int, default=300, help="leave out the first worlds of both splits")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="write the rows here, as JSON")
    parser.add_argument("--docs", type=Path, help="write what is printed here, as Markdown")
    args = parser.parse_args()
    if args.recorded:
        pair, (own, right) = (ACTORS[0], CRITICS[-1]), look_at_recorded(args.recorded)
        print(report(compare(pair, foretell(own), right), {pair: own}))
        return
    args.bank.mkdir(parents=True, exist_ok=True)
    merged: dict[Any, dict[Pair, list[Any]]] = {look_at: {}, search: {}}
    with process_executor(args.jobs) as pool:
        for work, split, count in ((look_at, "dev", args.dev_questions), (search, "test", args.test_questions)):
            questions = frozenset(questions_of(split, count, args.skip_worlds))
            worlds = sorted({name.rpartition("-")[0] for name in questions})
            done = pool.map(partial(work, args.bank, questions), worlds)
            for part in tqdm(done, desc=f"{split} worlds", total=len(worlds)):
                for pair, own in part.items():
                    merged[work].setdefault(pair, []).extend(own)
        measured = {pair: Measured(tuple(merged[look_at][pair]), AdapterCritic.scale) for pair in PAIRS}
        said = list(tqdm(pool.map(foretell, [measured[pair] for pair in PAIRS]), desc="forecasts", total=len(PAIRS)))
    rows = [row for pair, each in zip(PAIRS, said, strict=True) for row in compare(pair, each, merged[search][pair])]
    print(text := report(rows, measured))
    if args.docs:
        args.docs.write_text(TEXT.format(dev=args.dev_questions, test=args.test_questions, text=text), encoding="utf-8")
    if args.out:
        facts: dict[str, Any] = {"settings": {f"{a:g}/{c:g}": vars(measured[a, c].setting) for a, c in PAIRS}}
        facts |= {"rows": [row._asdict() | {"covered": row.covered, "agrees": row.agrees} for row in rows]}
        args.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


TEXT = """# The forecast, checked

Written by `python benchmarks/forecast.py --bank DIR --docs docs/forecast.md`. Nine pairs of actor and critic, made
weaker and stronger by a share of the critic's adapter. Each is forecast by what `bavt pays` measures on {dev} dev
questions, and then measured on {test} test questions, one seed. All pairs share questions and samples, so a question's
luck is in all of them: the counts are not those of independent trials. The critic is the likelihood of a step with its
path; with a share of 0 that of the base model, and a search by it is behind a vote.

```text
{text}
```
"""


if __name__ == "__main__":
    main()
