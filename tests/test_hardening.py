"""Attacks by data, traces, stores, cards and model output: nothing of it is run, and none of it leaves its place."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import lzma
import random
import re
import sqlite3
import tracemalloc
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from test_store import JOB, make_row

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, SearchResult, Trace
from bavt_minimal.benchmark.bank import FORMAT, Bank
from bavt_minimal.benchmark.document import document
from bavt_minimal.benchmark.efficiency import Bench, benchmark_budget_efficiency
from bavt_minimal.benchmark.methods import VOTE, chains
from bavt_minimal.benchmark.report import tables
from bavt_minimal.benchmark.store import Job, Store
from bavt_minimal.cli.main import main
from bavt_minimal.models import ScriptedModel
from bavt_minimal.models.adapters import CARD, CONFIG, WEIGHTS, load_adapter, read_card
from bavt_minimal.models.weights import WeightsError
from bavt_minimal.tasks.data import Gold, Question, World, load_data, save_data
from bavt_minimal.tasks.lookup import INDEXED, Lookup
from bavt_minimal.trace import Event
from bavt_minimal.views import fold, render_svg, render_text
from bavt_minimal.views.critics import Case, render_case
from bavt_minimal.views.frontier import render_frontier
from bavt_minimal.views.runs import render_runs
from bavt_minimal.views.terminal import LiveView, PlainView, report

PACKAGE = Path(__file__).resolve().parent.parent / "bavt_minimal"
HOSTILE = (
    "</title></text></svg><script>alert(1)</script>",
    "\"><svg onload='alert(2)'>",
    "' onmouseover='alert(3)' x='",
    "<foreignObject><body onload=alert(4)></foreignObject>",
    "]]><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "<a href='javascript:alert(5)'>x</a><image href='http://evil.example/x'/>",
    "[x](javascript:alert(6)) ![y](http://evil.example/y) | a | b\n\n# heading\n<img src=x onerror=alert(7)>",
    "\x1b]0;owned\x07\x1b[31m\x1b[2J\x9b31m\x90q\x9c \x00\x08\x7f\x85\r\n",
    "[red]markup[/red][/]",
    "\u202eright to left\u2066\u200b\ufeff\u2028\ud800",
    "e" + "\u0301" * 500,
    "__import__('os').system('touch owned') {0.__class__} %s ${HOME} `id`",
)
DEEP = "[" * 100_000 + "]" * 100_000
NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000)


# Nothing runs what it reads


def dangers(source: str) -> Iterator[str]:
    """Ways in which code could run or unpickle what it was given."""
    modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "code", "codeop"}
    calls = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "importlib.import_module"}
    loose = {"shell", "allow_pickle", "trust_remote_code"}
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.split(".")[0] in modules)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            said = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in calls or called.startswith(("os.exec", "os.spawn")):
                yield called
            if called.endswith("torch.load") and said.get("weights_only") != "True":
                yield "torch.load"
            yield from (f"{name}={said[name]}" for name in loose if said.get(name, "False") != "False")


def test_the_search_for_dangers_finds_them() -> None:
    for code in (
        "import pickle",
        "from yaml import load",
        "import numpy, marshal",
        "eval(x)",
        "exec(x)",
        "os.system(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "subprocess.run(x, shell=True)",
        "numpy.load(x, allow_pickle=True)",
        "load(x, trust_remote_code=True)",
    ):
        assert len(list(dangers(code))) == 1, code
    harmless = "model.eval(); re.compile(x); subprocess.run([x]); torch.load(x, weights_only=True); f(shell=False)"
    assert list(dangers(harmless)) == []


def test_the_package_runs_and_unpickles_nothing() -> None:
    found = {path.name: list(dangers(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 50 and not any(found.values()), {name: all_ for name, all_ in found.items() if all_}


# What is rendered


TAGS = {"svg", "title", "rect", "text", "path", "g"}
ATTRIBUTES = {"role", "viewBox", "width", "height", "font-family", "font-size", "font-weight", "x", "y", "rx", "d"}
ATTRIBUTES |= {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap"}
VALUE = re.compile(r"(?:[0-9 .,%-]|[MLHVCZlmhvcz])*|#[0-9a-fA-F]{6}|none|img|bold|round|sans-serif")
UNSEEN = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"


def check_svg(svg: str) -> None:
    """No element, attribute or value came from data: the texts are text."""
    assert not re.search(UNSEEN, svg)
    assert not re.search("<(?:script|foreignObject|image|a |use|style|!)", svg)
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in TAGS
        assert element.attrib.keys() <= ATTRIBUTES
        for value in element.attrib.values():
            assert VALUE.fullmatch(value), value


def test_the_check_of_a_picture_finds_what_it_is_for() -> None:
    frame = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'
    check_svg(frame.format('<text x="1" fill="#1a1a1a">javascript:x &lt;script&gt;</text>'))
    for bad in (
        "<script/>",
        '<text onclick="x"/>',
        '<rect fill="url(x)"/>',
        '<rect fill="javascript:x"/>',
        '<a href="x"/>',
        "<text>\u202e</text>",
    ):
        with pytest.raises(AssertionError):
            check_svg(frame.format(bad))


def searched(text: str) -> SearchResult:
    """A search in which everything is `text`: question, plan, pages and all that the model says."""
    clean = text.encode("utf-8", "ignore").decode()  # half a character is refused before
    model = ScriptedModel({}, {f"{clean} {i}": 1.0 for i in range(3)}, name=text)
    tool = {"tool": lambda query: text * 3}
    search = BudgetAwareValueTreeSearch(model, None, Budget(60, 8), **tool, max_new_tokens=30, stop_value=2.0)
    return search.search(f"{clean} ?", plan=[f"{clean} ?", f"{clean} of #1?"])


def poisoned(text: str) -> Trace:
    """A trace whose every text ends in `text`, unclean: what a file from anywhere may hold."""

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(each) for key, each in value.items()}
        if isinstance(value, list):
            return [poison(each) for each in value]
        return value + text if isinstance(value, str) else value

    trace = searched("Rome").trace
    return Trace(poison(trace.header), [replace(event, data=poison(event.data)) for event in trace.events])


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_text_in_every_view(text: str) -> None:
    for trace in (searched(text).trace, poisoned(text)):
        for at in {0, 3, len(trace.events) // 2, len(trace.events)}:
            check_svg(render_svg(trace, at))
        assert not re.search(UNSEEN, render_text(trace))
        pipe, screen = io.StringIO(), io.StringIO()
        console = Console(file=screen, force_terminal=True, width=90, color_system="truecolor", _environ={})
        plainly, live = PlainView(pipe), LiveView(console)
        for event in trace.events:
            plainly(event)
            live(event)
            console.print(live)
        report(fold(trace.events), console, gold=str(fold(trace.events).answer))
        written = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())  # rich's own colors
        assert not re.search(UNSEEN, pipe.getvalue()) and not re.search(UNSEEN, written)
        assert "\x1b[31m" not in screen.getvalue()
    check_svg(render_frontier([0.5, 0.2], [0, 1], names=[text, text]))
    for reveal in (False, True):
        check_svg(render_case(Case(text, text, text, {text: 0.4}, False, text), reveal))
    row = make_row(JOB, method=text, answer=text, reason=text, fault=text, by_role={text: [19, 2, 582]})
    check_svg(render_runs([row], text, text))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_method_is_a_cell_of_the_document(text: str) -> None:
    def rows(name: str) -> list[dict[str, Any]]:
        methods = (VOTE, "bavt, adapter", "rerank, adapter", "TreeQuest " + name, "bavt, " + name, name)
        return [
            make_row(Job(method, 64, 16, 0, f"q{i}"), right=float(i % 2), fault=name, reason=name, answer=name)
            for method in methods
            for i in range(4)
        ]

    page, harmless = document(rows(text), facts={"by": text}), document(rows("harmless"), facts={"by": "harmless"})
    assert len(page.splitlines()) == len(harmless.splitlines())  # no heading, row or paragraph more
    assert page.count("](") == harmless.count("](") and page.count("<") == harmless.count("<")
    assert not re.search(UNSEEN, page)
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in page.splitlines()]
    assert bars == [len(re.findall(r"(?<!\\)\|", line)) for line in harmless.splitlines()]
    assert all(not re.search(UNSEEN, table.to_text()) for table in tables(rows(text)))


# Data files


def lines_of(error: pytest.ExceptionInfo[BaseException]) -> int:
    return len(str(error.value).splitlines())


def data_files() -> Iterator[tuple[str, str]]:
    """What a hostile data file may hold -> what the error says of it."""
    page = '{"pages": {"Rome": "A city."}, "questions": [%s]}'
    yield DEEP, "nested too deeply"
    yield '{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"
    for number in NUMBERS:
        yield f'{{"pages": {{"Rome": {number}}}}}', r"pages\['Rome'\]|limit"
        yield page % f'{{"question": {number}}}', r"questions\[0\].question|limit"
        yield page % f'{{"question": "Where?", "plan": [{number}]}}', r"plan\[0\]|limit"
    yield '{"pages": {"Rome": "a", "Rome": "b"}}', "'Rome' occurs twice"
    yield '{"pages": {"Rome": "a"}, "pages": {"Oslo": "a"}}', "'pages' occurs twice"
    yield page % '{"question": "a", "id": "1"}, {"question": "b", "id": "1"}', r"questions\[1\].id"
    yield '{"pages": {"\\ud800": "a"}}', "half of a character"
    yield '{"pages": {"Rome": "\\udfff"}}', "half of a character"
    yield page % '{"question": "a\\udc00"}', "half of a character"
    yield '{"pages": {"__proto__": {}}}', "__proto__"
    yield page % '{"question": "a", "__class__": "x"}', "unknown field '__class__'"
    yield page % ('{"question": "a", "plan": ["b #%s"]}' % ("9" * 5000)), "plan|limit"
    yield "\x00" * 1000, "not valid JSON"
    yield "\ufeff\ufeff{}", "not valid JSON"


@pytest.mark.parametrize("number", range(len(list(data_files()))))
def test_a_hostile_data_file_is_an_error_of_a_line(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = list(data_files())[number]
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=words) as error:
        load_data(path)
    assert str(path) in str(error.value) and lines_of(error) == 1 and len(str(error.value)) < 400
    assert main(["ask", "--data", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("bavt: error: --data: ") and err.count("\n") == 1


def test_hostile_texts_of_a_data_file_are_kept_and_harm_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in HOSTILE]
    world = World({f"{text} {i}": text for i, text in enumerate(texts)}, (Question("1", " ".join(texts)),))
    save_data(tmp_path / "mine.json", world, {"1": Gold(texts[7])})
    assert load_data(tmp_path / "mine.json")[0] == world
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bavt_minimal.models.load_model", lambda source: ScriptedModel({}, {texts[7]: 1.0}))
    for more in ([], ["--json"]):
        assert main(["ask", "--data", "mine.json", "--model", "scripted", "--plan", "given", *more]) == 0
        out, err = capsys.readouterr()
        assert not re.search(UNSEEN, out + err)
    assert json.loads(out)["question"] == world.questions[0].text
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


# Memory


def peak(work: Callable[[], object]) -> int:
    """Bytes that `work` had at once, beyond what there was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_page_of_200_megabytes_takes_no_memory_of_its_size() -> None:
    page = "Rome is old. " * (200 * 2**20 // 13)
    assert peak(lambda: Lookup({"Rome": page, "Oslo": "A city."})("old")) < 100 * INDEXED
    model = ScriptedModel({}, {"Rome": 1.0})
    search = BudgetAwareValueTreeSearch(model, None, Budget(40, 4), lambda query: page)
    assert peak(lambda: search.search("Where?")) < 2**21
    assert search.result.answer == "Rome"


def test_a_page_is_found_by_its_beginning() -> None:
    filler = "word " * (INDEXED // 5)
    pages = {"First": f"needle {filler}", "Second": f"{filler} hidden"}
    assert Lookup(pages)("needle") == pages["First"]
    assert Lookup(pages)("hidden") == "No page found for 'hidden'."


# Names of files


def test_no_name_of_a_question_or_model_leaves_the_folder_of_the_bank(tmp_path: Path) -> None:
    names = ["../../out", "/etc/passwd", "a/b", "..", "C:\\x", "x" * 5000, "\x00", "con", "~", "$HOME", *HOSTILE]
    data = World({"a": "b"}, tuple(Question(name, "Where?", ("Where?",)) for name in names))
    bench = Bench(
        ScriptedModel({}, {"Rome": 1.0}, name="../../model"),
        (data, dict.fromkeys(names, Gold("Rome"))),
        bank=tmp_path / "in" / "bank",
    )
    names_stored = [name for name in names if name.isprintable()]
    rows = benchmark_budget_efficiency(bench, {VOTE: ((8, 2),)}, names_stored, seeds=1)
    assert len(rows) == len(names_stored)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(names_stored)
    assert all(re.fullmatch(r"in/bank/[0-9a-f]{16}\.json\.xz", str(path.relative_to(tmp_path))) for path in files)


@pytest.mark.parametrize("name", ["../x-20000-0", "a/../../b-20000-0", "/tmp/x-20000-1", "..-20000-1", "test-\u00b2-0"])
def test_a_question_that_is_a_path_is_refused_before_a_file_is_opened(name: str, tmp_path: Path) -> None:
    bench = Bench(bank=tmp_path / "bank", offline=True)
    with pytest.raises(ValueError, match="there is no question"):
        bench([Job(VOTE, 8, 2, 0, name)])
    with pytest.raises(ValueError, match="there is no question"):
        benchmark_budget_efficiency(bench, {VOTE: ((8, 2),)}, [name], seeds=1)
    assert list(tmp_path.iterdir()) == []


# Traces


NASTY: tuple[Any, ...] = (None, True, -1, 10**30, 0.5, "", "9", "\x1b[31m", [], {}, [[]], {"a": 1}, float("nan"))


def mutate(value: Any, rng: random.Random) -> Any:
    """The same, with one thing in it, at random, another, gone or twice."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.9:
        changed: Any = value.copy()
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if rng.random() < 0.1:
            del changed[key]
        elif isinstance(value, list) and rng.random() < 0.1:
            changed.append(changed[key])
        else:
            changed[key] = mutate(value[key], rng)
        return changed
    return rng.choice(NASTY)


def test_any_trace_is_drawn_or_refused_and_a_resume_keeps_the_budget(tmp_path: Path) -> None:
    model = ScriptedModel({}, {"Rome": 0.5, "Oslo": 0.3, "": 0.2})

    def begin() -> BudgetAwareValueTreeSearch:
        return BudgetAwareValueTreeSearch(model, None, Budget(24, 4), lambda query: f"About {query}.", stop_value=2.0)

    search, rng, refused = begin(), random.Random(0), 0
    search.search("Where?", plan=["Where?", "Who of #1?"])
    search.trace.save(tmp_path / "good.json")
    good = json.loads((tmp_path / "good.json").read_text())
    for _ in range(600):
        path = tmp_path / "trace.json"
        path.write_text(json.dumps(mutate(good, rng)))
        try:
            trace = Trace.load(path)
        except ValueError as error:
            assert "trace.json" in str(error) and "\n" not in str(error)
            refused += 1
            continue
        try:
            check_svg(render_svg(trace))
            assert not re.search(UNSEEN, render_text(trace))
        except ValueError as error:
            assert "is damaged" in str(error)
        again = begin()
        try:
            again.search("Where?", plan=["Where?", "Who of #1?"], resume=trace)
        except (ValueError, TypeError) as error:
            assert str(error)
        if hasattr(again, "result"):
            spent = again.result.ledger.spent
            assert spent["tokens"] <= 24 and spent["tool_calls"] <= 4
    assert 100 < refused < 550  # both ways were tried


@pytest.mark.parametrize("content", [DEEP, '{"version": ' + DEEP + "}", '{"a":' * 100_000, "NaN", "9" * 5000, "\x00"])
def test_a_trace_that_is_none_is_an_error_of_a_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.json"
    path.write_text(content)
    for command in (["show"], ["ask", "--resume"], ["show", "--svg", str(tmp_path / "out.svg")]):
        assert main([*command, str(path)]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "trace.json" in err
    assert path.read_text() == content and len(list(tmp_path.iterdir())) == 1


def test_a_long_chain_of_steps_is_drawn() -> None:
    data = {"text": "x", "residual": 0.0, "value": 0.5, "terminal": False}
    state = {"ratio": 1.0}
    start = {"question": "Where?", "plan": ["Where?"], "v0": 0.5, "tokens": None, "tool_calls": None}
    events = [Event("started", 0, start, [], state)]
    events += [Event("added", i, data | {"parent": i - 1}, [], state) for i in range(1, 1500)]
    check_svg(render_svg(Trace({}, events)))
    assert render_text(Trace({}, events)).count("\n") > 1500


# The bank, the store, cards and weights


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        f'{{"format": {FORMAT}, "rows": {DEEP}}}',
        f'{{"format": {FORMAT}, "rows": []}}',
        f'{{"format": {FORMAT}}}',
        '{"format": NaN, "rows": {}}',
        "[]",
        "\x00",
    ],
    ids=range(7),
)
def test_a_hostile_bank_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json.xz"
    path.write_bytes(lzma.compress(content.encode()))
    with pytest.raises(ValueError, match=r"x\.json\.xz is not a file of a sample bank") as error:
        Bank(path)
    assert lines_of(error) == 1


STATEMENTS = {
    "meta that is no JSON": "UPDATE meta SET value = 'x'",
    "deep meta": f"UPDATE meta SET value = '{DEEP}'",
    "settings that are a number": "UPDATE meta SET value = '7' WHERE name = 'settings'",
    "no settings": "DELETE FROM meta WHERE name = 'settings'",
    "no format": "DELETE FROM meta WHERE name = 'format'",
    "a job that is no JSON": "UPDATE rows SET job = 'x'",
    "a job of another kind": "UPDATE rows SET job = '[[1], {}, 2, 3, 4]'",
    "a job that is a blob": "UPDATE rows SET job = x'ff00'",
    "a row that is no JSON": "UPDATE rows SET row = 'x'",
    "a deep row": f"UPDATE rows SET row = '{DEEP}'",
    "a row that is a list": "UPDATE rows SET row = '[]'",
    "a row with NaN": """UPDATE rows SET row = replace(row, '"seconds": 0.5', '"seconds": NaN')""",
    "a row of other fields": """UPDATE rows SET row = replace(row, '"answer"', '"__class__"')""",
    "a row of other types": """UPDATE rows SET row = replace(row, '"used": 19', '"used": "19"')""",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_a_hostile_store_is_named_and_left_as_it_is(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    with Store(path) as store:
        store.add([make_row(JOB)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
        before = list(connection.execute("SELECT * FROM rows")), list(connection.execute("SELECT * FROM meta"))
    with pytest.raises(ValueError, match=r"rows\.sqlite ") as error, Store(path) as store:
        store.done()
        store.rows()
    assert lines_of(error) == 1 and len(str(error.value)) < 1000
    with closing(sqlite3.connect(path)) as connection:
        assert before == (
            list(connection.execute("SELECT * FROM rows")),
            list(connection.execute("SELECT * FROM meta")),
        )


@pytest.mark.parametrize("card", [DEEP, "[]", "7", "NaN", '{"base": "b"}', '{"sha256": "x", "base": "b"}', "\x00", "{"])
def test_a_hostile_card_is_named(card: str, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"\xff" * 64)
    (tmp_path / CARD).write_text(card)
    with pytest.raises(WeightsError, match="card.json is damaged|the weights have sha256") as error:
        read_card(tmp_path, "b")
    assert lines_of(error) == 1


def header(entry: dict[str, Any]) -> bytes:
    """A safetensors file: the length of its header, the header, and nothing after it."""
    text = json.dumps(entry).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**62).to_bytes(8, "little") + b"{}",
        header({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        header({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}),
        b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",  # a pickle
        (len(DEEP)).to_bytes(8, "little") + DEEP.encode(),
    ],
    ids=["empty", "ones", "huge header", "huge tensor", "negative", "pickle", "deep"],
)
def test_hostile_weights_are_named_and_nothing_is_run(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(content)
    (tmp_path / CARD).write_text(json.dumps({"base": "b", "sha256": hashlib.sha256(content).hexdigest()}))
    read_card(tmp_path, "b")  # the digest fits: whoever made the weights made the card
    with pytest.raises(WeightsError, match="is no safetensors file") as error:
        load_adapter(SimpleNamespace(), "x", tmp_path, rank=8)
    assert lines_of(error) == 1 and not (tmp_path / "owned").exists()


@pytest.mark.parametrize("rank", [1, 7, 10**12])
def test_a_rank_that_is_made_up_asks_for_no_memory(rank: int, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (tmp_path / CONFIG).write_text("{}")
    save_file({"base_model.model.x.lora_A.weight": torch.zeros(8, 4)}, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=rf"does not fit its card: the rank is \[8\] there, {rank} in it"):
        load_adapter(SimpleNamespace(), "x", tmp_path, rank)


def test_an_event_is_plain_data() -> None:
    """What a trace holds is JSON from end to end: a view or a resume gets no object to call."""
    trace = searched(HOSTILE[0]).trace
    assert json.loads(json.dumps(trace.header)) == trace.header
    for event in trace.events:
        assert json.loads(json.dumps(asdict(event), allow_nan=False)) == asdict(event)


def test_chains_of_ones_own_name_go_through_a_store(tmp_path: Path) -> None:
    """A method's name from anywhere is a text in the store, not a part of a statement."""
    name = "'); DROP TABLE rows; --"
    data = World({"a": "b"}, (Question("q", "Where?", ("Where?",)),)), {"q": Gold("Rome")}
    bench = Bench(ScriptedModel({}, {"Rome": 1.0}), data, methods={name: chains()})
    with Store(tmp_path / "rows.sqlite") as store:
        benchmark_budget_efficiency(bench, {name: ((8, 2),)}, ["q"], 1, store)
        assert [row["method"] for row in store.rows()] == [name]
