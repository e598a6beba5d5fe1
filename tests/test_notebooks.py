"""Every notebook has what a lesson needs, and its solutions, put in place of the stubs, pass its checks.

nbval compares the notebooks as they are, with no exercise attempted (see start.py); this is the second pass.
"""

import re
import statistics
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n\n</details>", re.DOTALL)
ASIDE = re.compile(r"<details>.*?</details>|^\*The figure.*?(\n\n|\Z)", re.DOTALL)
TURN = re.compile(r"\*\*Your turn\*\* \((?:easy|medium|hard), (\d+) minutes\)")
WIDGET, PICTURE = "application/vnd.jupyter.widget-view+json", ("image/png", "image/svg+xml")
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag):
    return [number for number, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def solve(notebook):
    """Put each solution in place of the stub before it."""
    for number in tagged(notebook, "exercise"):
        texts = (cell.source for cell in notebook.cells[number + 1 :] if cell.cell_type == "markdown")
        notebook.cells[number].source = next(found[1] for text in texts if (found := SOLUTION.search(text)))
    return notebook


def main_path(notebook):
    """Pairs of a cell and its text, without folded text, figure descriptions and optional parts.

    An optional part begins with a heading "Optional: ..." and ends at the next heading of its level or above.
    """
    level = 7  # of the optional part; none is as deep as that
    for cell in notebook.cells:
        lines = []
        for line in ASIDE.sub("", cell.source).splitlines():
            heading = re.match("(#+) (Optional: )?", line) if cell.cell_type == "markdown" else None
            if heading and len(heading[1]) <= level:
                level = len(heading[1]) if heading[2] else 7
            if level == 7:
                lines.append(line)
        yield cell, "\n".join(lines)


def minutes(notebook):
    """Study time of the main path: an estimate, by the rule in notebooks/README.md."""
    total = 0
    for cell, text in main_path(notebook):
        if cell.cell_type == "markdown":
            total += len(text.split()) / 150 + text.count("**Predict:**") / 2 + sum(map(int, TURN.findall(text)))
        elif text and not {"colab", "exercise", "check"}.intersection(cell.metadata.get("tags", [])):
            total += len(text.splitlines()) / 7
            for output in cell.outputs:
                kinds = output.get("data", {})
                shown = output.get("text") or kinds.get("text/plain", "")
                total += 1 if kinds.keys() & set(PICTURE) else len(shown.splitlines()) / 30
    return total


@each_notebook
def test_it_begins_and_ends_as_a_lesson(path):
    notebook = read(path)
    first = notebook.cells[0].source
    words = prose(notebook)
    assert first.startswith("# ") and re.search("After (it|this notebook),? you can", first)
    (stated,) = re.findall(r"\*\*(\d+) minutes\.\*\*", first)
    assert minutes(notebook) <= int(stated) <= 45
    assert sum(len(TURN.findall(text)) for _, text in main_path(notebook)) >= 2
    assert "## Summary" in words and "**Where to read on:**" in words and "**Predict:**" in words
    questions = words.split("## Five questions")[1]
    assert len(re.findall(r"<details><summary>\d\. .+?</summary>.+?</details>", questions, re.DOTALL)) == 5


def test_the_readme_states_the_minutes_and_what_the_optional_parts_add():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(\w+\.ipynb\) \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == [path.stem for path in PATHS]
    for (_, stated, more), path in zip(rows, PATHS, strict=True):
        notebook = read(path)
        main = minutes(notebook)
        assert f"**{stated} minutes.**" in notebook.cells[0].source
        for cell in notebook.cells:
            cell.source = cell.source.replace("# Optional: ", "# ")
        assert int(more) - 5 < minutes(notebook) - main <= int(more)


@each_notebook
def test_exercises_have_a_stub_a_check_and_a_solution(path):
    notebook = read(path)
    stubs, checks = tagged(notebook, "exercise"), tagged(notebook, "check")
    words = prose(notebook)
    assert len(stubs) >= 3 and len(stubs) == len(checks) == len(SOLUTION.findall(words))
    assert len(TURN.findall(words)) == len(stubs)
    for stub, check in zip(stubs, checks, strict=True):
        assert stub < check and re.search("raise NotImplementedError|= None", notebook.cells[stub].source)
        (output,) = notebook.cells[check].outputs
        assert output.data["text/plain"].startswith("Not attempted")


@each_notebook
def test_cells_are_short_and_pictures_described(path):
    notebook = read(path)
    lines = [len(cell.source.splitlines()) for cell in code(notebook)]
    assert statistics.median(lines) <= 6 and max(lines) <= 25
    assert all(cell.execution_count for cell in code(notebook)), "run it before it is committed"
    for number, cell in enumerate(notebook.cells):
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if kinds.intersection(PICTURE):
            assert notebook.cells[number + 1].source.startswith("*The figure"), f"cell {cell.id} is not described"
        if WIDGET in kinds:
            later = notebook.cells[number + 1 : number + 5]
            seen = {k for other in later for output in other.get("outputs", []) for k in output.get("data", {})}
            assert seen.intersection(PICTURE), f"no static figure after the widget of cell {cell.id}"


def test_few_cells_are_not_compared():
    ignored = [(path.stem, number) for path in PATHS for number in tagged(read(path), "nbval-ignore-output")]
    assert len(ignored) <= 8, ignored


@each_notebook
def test_the_solutions_pass_the_checks(path):
    notebook = solve(read(path))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    for number in tagged(notebook, "check"):
        (output,) = notebook.cells[number].outputs
        assert output.data["text/plain"].startswith("Right."), (notebook.cells[number].source, output)


def test_the_companion_names_sections_and_checks_that_are_there():
    companion = (FOLDER / "paper_companion.md").read_text(encoding="utf-8")
    named = re.findall(r"\[(0\d)\](?:\(.*?\))?((?:,? (?:\*[^*]+\*|`check_\w+`))+)", companion)
    assert len(named) > 80
    notebooks = {path.stem[:2]: read(path) for path in PATHS}
    for start, names in named:
        notebook = notebooks[start]
        headings = re.findall("^##+ (?:Optional: )?(.+)$", prose(notebook), re.MULTILINE)
        for section in re.findall(r"\*([^*]+)\*", names):
            assert section.casefold() in map(str.casefold, headings), (start, section)
        for check in re.findall(r"check_\w+", names):
            assert any(check in notebook.cells[number].source for number in tagged(notebook, "check")), (start, check)
