"""`bavt bench`: options that do not go together are told, and a run with the real model ends with its headline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_server import Fake

from bavt_minimal.benchmark.store import Store
from bavt_minimal.cli.main import main

PLAN = ["Where was Ada Byron born?", "Who is the mayor of #1?"]
DATA = {
    "pages": {"Ada Byron": "Ada Byron was born in London.", "London": "The mayor of London is John Gray."},
    "questions": [
        {"question": "Who is the mayor of the birthplace of Ada Byron?", "plan": PLAN, "answer": "John Gray"},
        {"question": PLAN[0], "plan": PLAN[:1], "answer": "London"},
        {"question": "A question without an answer?", "plan": PLAN},
    ],
}


@pytest.fixture
def fake() -> Iterator[Fake]:
    it = Fake()
    yield it
    it.stop()
    assert not it.errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--recorded --split dev", "--split does not go with --recorded"),
        ("--check 3 --store x", "--store does not go with --recorded or --check"),
        ("--check 0", "--check must be at least 1, got 0"),
        ("--replay 3", "--replay goes with --recorded only"),
        ("--docs x", "--docs goes with --recorded only"),
        ("--methods voting", "no method 'voting'; there are vote;"),
        ("--budgets 64", "--budgets must be like 64/16,any/20, tokens/tool calls, got '64'"),
        ("--budgets 64/-1", "got '64/-1'"),
        ("--budgets 64/16 --preset paper", "--budgets and --preset do not go together"),
        ("--jobs 2 --dask tcp://x", "--jobs and --dask do not go together"),
        ("--model x --preset guide", "--preset guide is for the default model"),
        ("--store .", "is there already; go on with it by --resume"),
        ("--questions 0", "questions must be 1 .. 3000"),
        ("--split test --skip-worlds 2000", "questions must be 1 .. 0"),
    ],
)
def test_what_does_not_go_together(
    options: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *options.split()]) in (1, 2)
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_ones_own_questions_ends_with_its_headline_and_can_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real model."""
    data, store, figure = tmp_path / "data.json", tmp_path / "rows.sqlite", tmp_path / "figure.svg"
    data.write_text(json.dumps(DATA), encoding="utf-8")
    options = ["bench", "--data", str(data), "--seeds", "1", "--store", str(store), "--budgets", "24/6,any/3"]
    assert main([*options, "--methods", "greedy chain"]) == 0
    assert "no headline: it needs rows of" in capsys.readouterr().out.splitlines()[-1]
    assert main(options) == 2  # it is there
    chosen = "greedy chain; bavt, adapter"
    assert main([*options, "--resume", "--methods", chosen, "--figure", str(figure)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "8 rows in" in lines[-2] and figure.read_text(encoding="utf-8").startswith("<?xml")
    with Store(store) as rows:
        found: list[dict[str, Any]] = rows.rows()
    assert len(found) == 8 and {row["question"] for row in found} == {"1", "2"}
    with pytest.raises(ValueError, match="was made with"), Store(store, {"version": "0"}):
        pass


def test_a_server_behind_two_processes(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model over HTTP, and the table is that of one process."""
    pages = {"Where was Ada born?": "Ada was born in Lund.", "Lund": "The mayor of Lund is Ole Berg."}
    plan = ["Where was Ada born?", "Who is the mayor of #1?"]
    asked = {"question": "Who runs the birthplace of Ada?", "plan": plan, "answer": "Ole Berg"}
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"pages": pages, "questions": [asked, {**asked, "answer": "Eva"}]}), encoding="utf-8")
    found = []
    for jobs in ("1", "2"):
        store = tmp_path / f"rows{jobs}.sqlite"
        options = ["--data", str(data), "--model", fake.url, "--seeds", "2", "--budgets", "24/6"]
        assert main(["bench", *options, "--jobs", jobs, "--store", str(store)]) == 0
        with Store(store) as rows:
            found.append([{**row, "seconds": 0.0} for row in rows.rows()])
        assert "BAVT" in capsys.readouterr().out
    assert found[0] == found[1] and len(found[0]) == 2 * 2 * (6 + 1)  # voting has four times the budget too
