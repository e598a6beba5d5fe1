"""The published record: whole, replayed exactly from the bank without a model, and what docs/benchmark.md says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bavt_minimal.benchmark import recorded
from bavt_minimal.benchmark.bank import Bank
from bavt_minimal.benchmark.document import document
from bavt_minimal.benchmark.efficiency import PER_WORLD, Bench, digests, questions_of
from bavt_minimal.benchmark.methods import METHODS
from bavt_minimal.benchmark.report import headline
from bavt_minimal.benchmark.scores import Scores, scores
from bavt_minimal.benchmark.store import Job
from bavt_minimal.cli.main import main

DOCS = Path(__file__).resolve().parent.parent / "docs" / "benchmark.md"


@pytest.fixture(scope="module")
def data() -> Scores:
    return scores(recorded.rows())


def test_questions_are_those_of_test_worlds_that_nothing_else_was_measured_on(data: Scores) -> None:
    names = sorted(data.questions)
    assert names == sorted(questions_of("test", len(names), recorded.SKIPPED))
    assert len(names) % PER_WORLD == 0


def test_every_method_has_every_question_and_seed_and_no_row_is_over_its_budget(data: Scores) -> None:
    for (name, tokens, calls), rows in data.rows.items():
        if name in METHODS and not METHODS[name].own_plans:
            assert len({(row["question"], row["seed"]) for row in rows}) == len(data.questions) * len(data.seeds)
        for row in rows:
            assert row["used"] <= tokens and (calls is None or row["tool_calls_used"] <= calls)


def test_replay_is_exact_without_a_model(data: Scores) -> None:
    rows = [row for own in data.rows.values() for row in own]
    bench = Bench(bank=recorded.BANK, offline=True)
    world = random.Random(0).choice(sorted({bench.world_of(Job.of(row)) for row in rows}))
    own = [row for row in rows if bench.world_of(Job.of(row)) == world]
    again, differ, _ = recorded.replay(own, 1, random.Random(0))
    assert again == sum(row["method"] in METHODS for row in own) and differ == []


def test_the_bank_is_of_the_shipped_adapters_and_every_file_can_be_read() -> None:
    facts = recorded.facts()
    assert facts["adapters"] == digests()
    for path in recorded.BANK.glob("*.json.xz"):
        assert list(Bank(path).keys("draws"))


def test_states_are_drawn_again_as_they_were() -> None:
    """With the real model; `bavt bench --check 50` does more of them."""
    found = recorded.check(2, random.Random(1))
    assert found.states == 2 and not found.differences and found.apart < 1e-3


def test_the_document_is_what_the_rows_say(data: Scores) -> None:
    wanted = document(data, recorded.seconds(), recorded.facts(), "benchmark.svg")
    assert DOCS.read_text(encoding="utf-8") == wanted, "run: bavt bench --recorded --docs docs/benchmark.md"


def test_the_command_ends_with_the_headline(data: Scores, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="draws a figure; the extra [notebooks] has matplotlib")
    figure = tmp_path / "figure.svg"
    assert main(["bench", "--recorded", "--replay", "0", "--figure", str(figure)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == headline(data)
    assert figure.read_bytes() == DOCS.with_suffix(".svg").read_bytes()
