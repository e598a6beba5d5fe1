"""What the README and docs/use.md print as code runs as it stands there, and their links lead somewhere."""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from bavt_minimal.benchmark import recorded
from bavt_minimal.benchmark.scores import Scores, scores
from bavt_minimal.tasks.data import load_data

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))
tables: Any = importlib.import_module("tables")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.md")])
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", "docs/use.md")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_code_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "block", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_data_file_shown_can_be_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/use.md").read_text(encoding="utf-8"), re.S)
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    world, golds = load_data(path)
    assert len(world.questions) == len(golds) == len(json.loads(text)["questions"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?m)^\[[^\]]+\]: (\S+)", text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor and path.suffix == ".md":
            heads = re.findall(r"(?m)^#+ (.+)$", path.read_text(encoding="utf-8"))
            anchors = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in anchors, f"{page.name} links to {target}"


@pytest.fixture(scope="module")
def data() -> Scores:
    return scores(recorded.rows())


@pytest.mark.parametrize("number", [0, 1], ids=["README.md", "docs/results.md"])
def test_the_tables_that_are_spoken_of_are_what_the_rows_say(data: Scores, number: int) -> None:
    page, labels = tables.PAGES[number].read_text(encoding="utf-8"), {*tables.ACCURACIES, *tables.DIFFERENCES}
    spoiled, found = page.split("\n"), 0
    for i, line in enumerate(spoiled):
        label, _, rest = line.removeprefix("| ").partition(" | ")
        if label in labels and rest:
            spoiled[i], found = f"| {label} | {re.sub('[0-9]', '7', rest)}", found + 1
    assert found == (12, len(labels))[number]
    assert tables.rewrite(data, "\n".join(spoiled)) == page, "run: python benchmarks/tables.py"
