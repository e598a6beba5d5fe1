"""The command line: answers, exit codes, clear errors, and a trace that survives Ctrl-C, kills and full disks."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, Planner, Trace, __version__, format_plan
from bavt_minimal.cli import ask as ask_module
from bavt_minimal.cli.ask import ask, prepare
from bavt_minimal.cli.main import UserError, main, make_parser
from bavt_minimal.models import ScriptedModel, adapters
from bavt_minimal.models.hf import HFModel
from bavt_minimal.views import render_svg, render_text

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
PAGES = {"X": "The capital of X is Rome.", "Rome": "Ann runs Rome.", "Paris": "Bob runs Paris."}
ASKED = "Who runs the capital of X?"
PLAN = ("What is the capital of X?", "Who runs #1?")
ANOTHER = ("Which city is in X?", "Who runs #1?")
DATA = {
    "pages": PAGES,
    "questions": [
        {"question": ASKED, "plan": list(PLAN), "answer": "Ann"},
        {"question": "Who runs Paris?", "answer": "Bob"},
    ],
}
TABLE = {
    "Question: What is the capital of X?\nAnswer:": {"Rome": 0.6, "Paris": 0.4},
    "Question: Who runs Rome?\nAnswer:": {"Ann": 0.8, "Cy": 0.2},
    "Question: Who runs Paris?\nAnswer:": {"Bob": 0.9, "Di": 0.1},
}
# A process of its own, with a scripted model that takes its time, through the same functions as `bavt ask`.
SLOW = """
import sys, time
from rich.console import Console
from bavt_minimal.cli import main as cli
from bavt_minimal.cli.ask import ask, prepare
from bavt_minimal.models import ScriptedModel

class Slow(ScriptedModel):
    def sample(self, *args, **options):
        time.sleep({pause})
        return super().sample(*args, **options)

sys.argv += ["--model", "scripted"]
cli.run_ask = lambda args: ask(prepare(args), Slow({table!r}), Console())
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(DATA))
    return path


def run(*arguments: str, model: Any = None) -> tuple[int, str]:
    """Exit code and standard output of `bavt ask` with a scripted model; only a `Dual` is taken for the default one."""
    out = io.StringIO()
    source = [] if isinstance(model, Dual) else ["--model", "scripted"]
    job = prepare(make_parser().parse_args(["ask", *source, *arguments]))
    code = ask(job, model or ScriptedModel(TABLE), Console(file=out, width=100))
    return code, out.getvalue()


def planning(prompt: str) -> dict[str, float]:
    """A model that reads by the table, makes one of two plans, and answers a critic's question."""
    if prompt.endswith("Plan:"):
        return {format_plan(PLAN): 0.6, format_plan(ANOTHER): 0.4}
    ends = [weights for end, weights in TABLE.items() if prompt.endswith(end)]
    return ends[0] if ends else {"Rome": 0.6, "Bonn": 0.4} if prompt.endswith("Answer:") else {"yes": 0.7, "no": 0.3}


class Dual(ScriptedModel):
    """The default model, with its adapters."""

    adapter = ""

    def with_adapter(self, role: str) -> "Dual":
        view = type(self)(planning, name=self.name)
        view.adapter = f"digest of the {role}"
        return view


@pytest.fixture(params=[True])
def shipped(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with adapters, a head and a mix for `Dual`; with the parameter False, one with none of them."""
    from bavt_minimal.critics import head as heads

    folder = tmp_path / "adapters"
    for module in (adapters, ask_module, heads):
        monkeypatch.setattr(module, "SHIPPED", folder)
    if request.param:
        for role in adapters.ROLES:
            (folder / role).mkdir(parents=True)
            for name in (adapters.CONFIG, adapters.WEIGHTS, adapters.CARD):
                (folder / role / name).touch()
        card = heads.CriticHead(Dual(planning), layers=(2,)).save(folder / "head")
        mix = {"head": card["sha256"], "weights": {"head": 1.0, "mean": 0.5}, "intercept": 0.0, "scale": 0.4}
        (folder / "head" / "mix.json").write_text(json.dumps(mix))
    return folder


def bavt(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bavt_minimal", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, **options)


def slow(tmp_path: Path, pause: float) -> list[str]:
    script = tmp_path / "slow.py"
    script.write_text(textwrap.dedent(SLOW.format(pause=pause, table=TABLE)))
    return [sys.executable, str(script), "ask"]


# Answers


def test_piped_output_is_plain_lines(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("--data", str(data), "--tokens", "40")
    assert code == 0
    assert out.startswith(f"question:  {ASKED}\n  step 1:  What is the capital of X?\n")
    assert re.search(r"^answer:    Ann  \(value \d\.\d\d", out, re.MULTILINE)
    assert re.search(r"^stopped:   \w+ \(", out, re.MULTILINE) and re.search(r"^seconds:   \d", out, re.MULTILINE)
    assert out.endswith("gold:      Ann (right)\n")
    assert "\x1b" not in out
    assert "has 2 questions; this is the first" in capsys.readouterr().err


def test_json_is_one_object_and_agrees_with_the_search(data: Path) -> None:
    code, out = run("--data", str(data), "--json", "--tokens", "30", "--seed", "3")
    said = json.loads(out)
    lookup = prepare(make_parser().parse_args(["ask", "--data", str(data)])).tool
    search = BudgetAwareValueTreeSearch(ScriptedModel(TABLE), budget=Budget(30, 16), tool=lookup, seed=3)
    result = search.search(ASKED, plan=PLAN)
    assert code == 0 and out.count("\n") == 1
    assert (said["answer"], said["reason"], said["forced"]) == (result.answer, result.reason, result.forced)
    assert said["value"] == pytest.approx(result.value, abs=1e-6)
    assert said["roles"] == {role: dict(used) for role, used in result.ledger.by_role().items()}
    assert said["question"] == ASKED and said["gold"] == "Ann"
    assert said["right"] is (result.answer == "Ann")
    assert said["settings"]["seed"] == 3 and said["seconds"] >= 0


@pytest.mark.parametrize(
    "options",
    [
        *[["--selection", name] for name in ("bavt", "ucb", "scaled-ucb", "greedy", "uniform")],
        *[["--critic", name] for name in ("logprob", "prompted", "constant")],
        ["--method", "parallel"],
        *[["--method", "rerank", "--critic", name] for name in ("logprob", "prompted", "constant")],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("budget", [(0, 0), (1, 1), (40, 9)])
@pytest.mark.parametrize("plan", ["given", "own"])
def test_every_method_keeps_the_budget_and_resumes(
    data: Path, tmp_path: Path, plan: str, options: list[str], budget: tuple[int, int]
) -> None:
    tokens, calls = budget
    common = ["--data", str(data), "--json"]
    trace = tmp_path / "t.json"
    arguments = [*common, "--tokens", str(tokens), "--tool-calls", str(calls), *options, "--save", str(trace)]
    code, out = run(*arguments, "--plan", plan, model=ScriptedModel(planning))
    said = json.loads(out)
    assert code == 0
    assert said["spent"]["tokens"] <= tokens and said["spent"]["tool_calls"] <= calls
    whole = Trace.load(trace)
    for cut in (1, len(whole.events) // 2, len(whole.events)):
        Trace(whole.header, whole.events[:cut]).save(trace)
        again = json.loads(run(*common, "--resume", str(trace), model=ScriptedModel(planning))[1])
        assert {**again, "seconds": 0} == {**said, "seconds": 0}
        assert Trace.load(trace).events == whole.events


def test_a_question_of_the_data_brings_its_plan(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(run(f" {ASKED.upper()}", "--data", str(data), "--json")[1])
    assert tuple(said["plan"]) == PLAN and said["plan_source"] == "given" and said["planned_lookups"] == 2
    assert capsys.readouterr().err == ""


def test_a_free_question_without_a_planner_is_one_step_and_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, trace = ScriptedModel(TABLE, default={"Ann": 1.0}), tmp_path / "t.json"
    common = ["--data", str(data), "--json"]
    said = json.loads(run("Who is it?", *common, "--plan", "given", "--save", str(trace), model=model)[1])
    assert said["plan"] == [] and said["plan_source"] == "none" and said["planned_lookups"] == 0
    assert said["answer"] == "Ann" and said["gold"] is None and said["used_lookups"] == 1
    assert "comes without a plan: it is asked as one step." in capsys.readouterr().err
    again = json.loads(run(*common, "--resume", str(trace), model=model)[1])
    assert {**again, "seconds": 0} == {**said, "seconds": 0}


def test_built_in_question(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = prepare(make_parser().parse_args(["ask"]))
    assert len(job.question.plan) > 1 and job.gold is not None and job.plan == job.question.plan
    assert job.settings["critic"] == "adapter"
    job = prepare(make_parser().parse_args(["ask", "--plan", "own"]))
    assert job.plan is None and job.gold is not None and job.settings["plan"] == "own"
    assert capsys.readouterr().err == ""
    prepare(make_parser().parse_args(["ask", "Where is it?"]))
    assert "built-in encyclopedia" in capsys.readouterr().err


def test_gold_reaches_nothing_before_the_search_is_over(data: Path) -> None:
    class Poison:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"gold.{name} was touched")

    job = prepare(make_parser().parse_args(["ask", "--data", str(data), "--critic", "logprob"]))
    job.gold = Poison()  # type: ignore[assignment]
    out = io.StringIO()
    with pytest.raises(AssertionError, match="answer was touched"):
        ask(job, ScriptedModel(TABLE), Console(file=out))
    assert "stopped" not in out.getvalue().split("answer found")[0]
    assert job.searcher(ScriptedModel(TABLE)).search(ASKED, plan=job.question.plan).answer == "Ann"


def test_real_model_from_end_to_end(real_model: HFModel, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    code, out = run("--tokens", "24", "--save", str(trace), model=real_model)
    assert code == 0 and re.search(r"^answer:    \S", out, re.MULTILINE)
    assert "\x1b" not in out
    assert render_text(Trace.load(trace)).splitlines()[0] in out


# Plans of its own, and the adapters


def test_a_free_question_is_planned_by_worked_examples(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ScriptedModel(planning)
    said = json.loads(run("Who rules X?", "--data", str(data), "--tokens", "200", "--json", model=model)[1])
    assert capsys.readouterr().err.startswith(
        "bavt: this question comes without a plan: scripted makes one, shown a few examples. Pages are looked up in "
    )
    assert tuple(said["plan"]) in (PLAN, ANOTHER) and said["plan_source"] == "own" and said["answer"]
    assert said["planned_lookups"] == 2 <= said["used_lookups"] == said["spent"]["tool_calls"]
    assert said["roles"]["planner"]["tokens"] > 0 and said["settings"]["critic"].startswith("LogProb")
    assert said["settings"]["planner_adapter"] == ""


@pytest.mark.parametrize("asked", [ASKED, "Who rules X?"])
def test_the_default_model_plans_and_judges_with_its_adapters(
    data: Path, shipped: Path, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [asked, "--data", str(data), "--json", "--tokens", "200"]
    said = json.loads(run(*options, model=Dual(planning))[1])
    assert said["settings"]["critic"].startswith("AdapterCritic(model=Dual+digest of the critic")
    assert said["plan_source"] == ("given" if asked == ASKED else "own") and said["answer"]
    assert ("the planner adapter makes one" in capsys.readouterr().err) == (asked != ASKED)
    own = json.loads(run(*options, "--plan", "own", model=Dual(planning))[1])
    assert own["plan_source"] == "own" and own["settings"]["planner_adapter"] == "digest of the planner"
    assert own["settings"]["planner"] == repr(Planner(Dual(planning)))


@pytest.mark.parametrize("critic", ["adapter", "head", "mix"])
@pytest.mark.parametrize("method", ["bavt", "rerank"])
def test_trained_critics_judge_and_resume(data: Path, tmp_path: Path, shipped: Path, critic: str, method: str) -> None:
    trace = tmp_path / "t.json"
    common = ["--data", str(data), "--json"]
    options = ["--critic", critic, "--method", method, "--plan", "own", "--tokens", "120"]
    said = json.loads(run(*common, *options, "--save", str(trace), model=Dual(planning))[1])
    whole = Trace.load(trace)
    assert said["answer"] and ("critic" in said["roles"]) == (critic == "adapter")  # the others get states with samples
    for cut in (1, len(whole.events) // 2, len(whole.events)):
        Trace(whole.header, whole.events[:cut]).save(trace)
        again = json.loads(run(*common, "--resume", str(trace), model=Dual(planning))[1])
        assert again["answer"] == said["answer"] and again["settings"] == said["settings"]
        if cut in (1, len(whole.events)):
            assert {**again, "seconds": 0} == {**said, "seconds": 0}


def test_resume_with_another_adapter(data: Path, tmp_path: Path, shipped: Path) -> None:
    class Retrained(Dual):
        def with_adapter(self, role: str) -> Dual:
            view = super().with_adapter(role)
            view.adapter += ", trained again"
            return view

    trace, common = tmp_path / "t.json", ["--data", str(data)]
    run(*common, "--plan", "own", "--critic", "constant", "--save", str(trace), model=Dual(planning))
    with pytest.raises(ValueError, match="the trace was made with planner_adapter='digest of the planner'"):
        run(*common, "--resume", str(trace), model=Retrained(planning))
    with pytest.raises(UserError, match="--plan given: the trace was made with own; leave it out or give that"):
        run(*common, "--resume", str(trace), "--plan", "given", model=Dual(planning))
    trace.unlink()
    run(*common, "--save", str(trace), model=Dual(planning))
    with pytest.raises(ValueError, match="the trace was made with critic='AdapterCritic"):
        run(*common, "--resume", str(trace), model=Retrained(planning))


@pytest.mark.parametrize("shipped", [False], indirect=True)
@pytest.mark.parametrize(
    ("option", "role"),
    [("--critic adapter", "critic"), ("--critic head", "head"), ("--critic mix", "head"), ("--plan own", "planner")],
)
def test_missing_weights_name_their_command(
    shipped: Path, option: str, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", *option.split()]) == 1
    said = capsys.readouterr()
    start = f"bavt: error: {option}: no {role} weights in this installation "
    start += f"(to make it: bavt train {role} --out {shipped / role}); "
    assert said.err.startswith(start) and said.err.count("\n") == 1 and said.out == ""


@pytest.mark.parametrize("shipped", [False], indirect=True)
def test_defaults_do_without_missing_weights(data: Path, shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--data", str(data), "--json"]
    said = json.loads(run(ASKED, *common, model=Dual(planning))[1])
    assert said["settings"]["critic"].startswith("LogProb") and said["plan_source"] == "given"
    error = capsys.readouterr().err
    assert "judged by log-probability" in error and "bavt train critic --out" in error and error.count("\n") == 1
    said = json.loads(run("Who rules X?", *common, model=Dual(planning))[1])
    assert said["plan_source"] == "none" and said["answer"]
    error = capsys.readouterr().err
    assert "asked as one step, as there is no planner adapter here (to make it: bavt train planner --out" in error


def test_adapters_need_a_model_that_takes_them(data: Path, shipped: Path) -> None:
    with pytest.raises(TypeError, match="model must be an HFModel"):
        run("--data", str(data), "--critic", "adapter")


def test_a_planned_search_in_plain_lines(data: Path) -> None:
    options = ["--data", str(data), "--plan", "own", "--tokens", "120", "--seed", "1"]
    code, out = run(*options, model=ScriptedModel(planning))
    assert code == 0
    assert out.startswith(f"question:  {ASKED}\nsettings:  method BudgetAwareValueTreeSearch, model scripted, ")
    plan = r"1\. What is the capital of X\? 2\. Who runs #1\?"
    for line in (
        rf"  plans:   {plan} 2 lookups",
        rf"  plan 1:  {plan}  value 0\.58 \(\+0\.08\)",
        r"select:    plan 1 with probability .*",
        r"  planner:   \d+ tokens, \d+ prompt tokens read",
        r"lookups:   2 in the plan, \d+ used by the search",
    ):
        assert re.search(f"^{line}$", out, re.MULTILINE), line
    assert "Plan: " not in out and re.search(r"\ngold:      Ann \((right|wrong)\)\n$", out)


# Processes


def test_version_help_and_show_are_fast(data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    for arguments in (["--version"], ["--help"], ["ask", "--help"], [], ["show", str(trace)]):
        code = (
            "import sys; from bavt_minimal.cli.main import main\n"
            f"try: main({arguments!r})\nexcept SystemExit: pass\n"
            "assert not {'torch', 'transformers', 'bm25s'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_version_and_help() -> None:
    assert bavt("--version").stdout == f"bavt {__version__}\n"
    done = bavt()
    assert done.returncode == 0 and done.stdout == bavt("--help").stdout and "fetch" in done.stdout
    assert "usage: bavt ask" in bavt("ask", "--help").stdout


def test_show(data: Path, tmp_path: Path) -> None:
    trace, picture = tmp_path / "t.json", tmp_path / "t.svg"
    run("--data", str(data), "--save", str(trace))
    assert bavt("show", str(trace)).stdout == render_text(Trace.load(trace))
    assert bavt("show", str(trace), "--svg", str(picture)).returncode == 0
    assert picture.read_text(encoding="utf-8") == render_svg(Trace.load(trace))
    before = trace.read_bytes()
    done = bavt("show", str(trace), "--svg", str(trace))
    assert done.returncode == 1 and "that is the trace itself" in done.stderr
    assert trace.read_bytes() == before


def test_broken_pipe_is_quiet(data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    for command in (
        [sys.executable, "-m", "bavt_minimal", "show", str(trace)],
        [*slow(tmp_path, 0.2), "--data", str(data)],
    ):
        with subprocess.Popen(
            command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            error = process.stderr.read().decode()
        assert process.returncode == 1
        assert "Traceback" not in error and "Broken" not in error
    assert not list(tmp_path.glob("bavt-*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_under_stdout_is_one_line(data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "bavt_minimal", "show", str(trace)]
        done = subprocess.run(command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.startswith("bavt: error: ") and done.stderr.count("\n") == 1


def interrupt(command: list[str], where: Path) -> tuple[int, str]:
    """Run until a first step is there, press Ctrl-C, return the exit code and standard error."""
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job inherits its being ignored
    with subprocess.Popen(
        command,
        cwd=where,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if "step 1:" in line and "value" in line:
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        return process.wait(60), process.stderr.read()


@pytest.mark.parametrize("named", [True, False])
def test_ctrl_c_leaves_a_trace_that_goes_on(data: Path, tmp_path: Path, named: bool) -> None:
    options = ["--data", str(data), "--tokens", "60", "--seed", "1", "--critic", "constant", "--json"]
    expected = json.loads(run(*options)[1])
    options.remove("--json")
    trace = tmp_path / "my trace.json"
    command = [*slow(tmp_path, 0.15), *options, *(["--save", str(trace)] if named else [])]
    code, error = interrupt(command, tmp_path)
    assert code == 130
    assert "Traceback" not in error and "Go on with: bavt ask --resume" in error
    if not named:
        (trace,) = tmp_path.glob("bavt-*.trace.json")
        assert trace.name in error
    assert len(Trace.load(trace).events) > 1
    assert "stopped:   interrupted (it was cut off, and can be resumed)" in render_text(Trace.load(trace))
    said = json.loads(run("--resume", str(trace), "--data", str(data), "--json")[1])
    # A call that was cut off stays charged, so the two may differ in what was spent.
    assert said["question"] == expected["question"] and said["answer"]
    assert sum(used["tokens"] for used in said["roles"].values()) <= 60
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("call", range(1, 6))
def test_ctrl_c_inside_any_model_call(data: Path, tmp_path: Path, call: int) -> None:
    class Interrupted(ScriptedModel):
        calls = 0

        def sample(self, *args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == call:
                raise KeyboardInterrupt
            return super().sample(*args, **options)

    options = ["--data", str(data), "--tokens", "60", "--critic", "constant"]
    trace = str(tmp_path / "t.json")
    assert run(*options, "--save", trace, model=Interrupted(TABLE))[0] == 130
    said = json.loads(run("--resume", trace, "--data", str(data), "--json")[1])
    assert said["answer"] and said["spent"]["tokens"] <= 60
    # The call that was cut off may have used what it had reserved, and stays charged.
    assert said["roles"]["generator"]["tokens"] >= 3


def test_kill_leaves_a_trace(data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    options = ["--data", str(data), "--tokens", "60", "--critic", "constant"]
    command = [*slow(tmp_path, 0.15), *options, "--save", str(trace)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "answer found" in line)
        next(line for line in process.stdout if line.startswith("select"))
        process.kill()
    assert any(event.kind == "answered" for event in Trace.load(trace).events)
    assert run("--resume", str(trace), "--data", str(data))[0] == 0


def test_live_view_in_a_terminal(data: Path, tmp_path: Path) -> None:
    parent, child = pty.openpty()
    command = [*slow(tmp_path, 0.05), "--data", str(data), "--tokens", "20"]
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "LINES": "30"}
    with subprocess.Popen(command, env=environment, stdout=child, stderr=child, stdin=child) as process:
        os.close(child)
        written = b""
        while select.select([parent], [], [], 60)[0]:
            try:
                block = os.read(parent, 65536)
            except OSError:  # closed at the other end
                break
            written += block
            if not block:
                break
        assert process.wait(60) == 0
    os.close(parent)
    text = written.decode()
    assert "\x1b[?25l" in text and "\x1b[?25h" in text  # the cursor is hidden, and shown again
    final = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text[text.rindex("\x1b[?25h") :])
    for part in ("Question", ASKED, "Answer", "Ann", "Stopped", "tokens", "Seconds", "(right)"):
        assert part in final


def test_force_color_does_not_color_a_pipe(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in run("--data", str(data))[1]


# A trace is never lost, and never costs the answer


def test_a_failing_model_leaves_a_trace_that_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(ScriptedModel):
        left = 3

        def sample(self, *args: Any, **options: Any) -> Any:
            Failing.left -= 1
            if Failing.left < 0:
                raise RuntimeError("out of memory")
            return super().sample(*args, **options)

    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"):
        run("--data", str(data), "--critic", "constant", model=Failing(TABLE))
    (trace,) = tmp_path.glob("bavt-*.trace.json")
    assert trace.name in capsys.readouterr().err
    assert "RuntimeError: out of memory" in render_text(Trace.load(trace))
    code, out = run("--data", str(data), "--resume", str(trace))
    assert code == 0 and "answer:    " in out


def test_a_save_that_fails_later_does_not_cost_the_answer(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Trace, path: Path) -> None:
        raise OSError(f"cannot save the trace to {path}: No space left on device")

    monkeypatch.setattr(Trace, "save", full)
    code, out = run("--data", str(data), "--save", str(tmp_path / "t.json"))
    assert code == 1 and "answer:    Ann" in out
    assert "No space left on device" in capsys.readouterr().err


# Clear errors


def usage(*arguments: str) -> str:
    done = bavt(*arguments)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "--tokens", "-5"], "argument --tokens: must be a whole number from 0 to 999999999999, got '-5'"),
        (["ask", "--tokens", "1e3"], "argument --tokens: must be a whole number from 0 to 999999999999, got '1e3'"),
        (["ask", "--tool-calls", "two"], "argument --tool-calls: must be a whole number"),
        (["ask", "--seed", "\u0663"], "argument --seed: must be a whole number"),
        (["ask", "--seed", "9" * 50], "argument --seed: must be a whole number"),
        (["ask", "--critic", "oracle"], "argument --critic: invalid choice: 'oracle' (choose from"),
        (["ask", "--method", ""], "argument --method: invalid choice: ''"),
        (["ask", "--selection", "UCB"], "argument --selection: invalid choice: 'UCB'"),
        (["ask", " "], "argument question: must not be empty"),
        (["ask", "--method", "parallel", "--critic", "logprob"], "--critic: method parallel has none"),
        (["ask", "--method", "rerank", "--selection", "ucb"], "--selection: method rerank has none"),
        (["ask", "one", "two"], "unrecognized arguments: two"),
        (["tell"], "invalid choice: 'tell'"),
        (["show"], "the following arguments are required: FILE"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    assert message in usage(*arguments)


def content(kind: str) -> bytes:
    trace = {"version": 1, "header": {}, "events": []}
    return {
        "text": b"hello",
        "binary": bytes(range(256)),
        "empty": b"",
        "other version": json.dumps({**trace, "version": 99}).encode(),
        "list": b"[1, 2]",
        "no events": b'{"version": 1, "header": {}}',
        "bad event": json.dumps({**trace, "events": [{"kind": "dance"}]}).encode(),
        "deep": b"[" * 200_000,
        "no header": json.dumps({**trace, "header": None}).encode(),
        "hostile": b'{"version": "\\u001b[31m\\n[red]", "header": {}, "events": []}',
    }[kind]


KINDS = ("text", "binary", "empty", "other version", "list", "no events", "bad event", "deep", "no header", "hostile")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["show", "ask --resume", "ask --data", "ask --save"])
def test_files_that_are_something_else(
    command: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content(kind))
    if command == "ask --save" and kind == "empty":
        pytest.skip("an empty file may be written to")
    assert main([*command.split(), str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("bavt: error: ") and str(path) in said.err and "\x1b" not in said.err
    assert path.read_bytes() == content(kind)


@pytest.mark.parametrize("option", ["--data", "--resume", "--save"])
@pytest.mark.parametrize("kind", ["missing folder", "folder", "too long", "null"])
def test_paths_that_do_not_work(option: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {"missing folder": tmp_path / "no" / "x", "folder": tmp_path, "too long": tmp_path / ("x" * 300)}
    path = str(paths.get(kind, f"{tmp_path}/a\0b"))
    assert main(["ask", option, path]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"bavt: error: {option}") and said.count("\n") == 1


def test_no_device_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--save", os.devnull]) == 1
    assert "that is not a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokens", "32"], "--tokens 32: the trace was made with 64"),
        (["--tool-calls", "1"], "--tool-calls 1: the trace was made with 16"),
        (["--seed", "1"], "--seed 1: the trace was made with 0"),
        (["--critic", "constant"], "--critic constant: the trace was made with logprob"),
        (["--selection", "greedy"], "--selection greedy: the trace was made with bavt"),
        (["--method", "parallel"], "--method parallel: the trace was made with bavt"),
        (["Who runs Paris?"], "question: the trace asks 'Who runs the capital of X?'"),
    ],
)
def test_resume_with_other_settings(data: Path, tmp_path: Path, options: list[str], message: str) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    before = trace.read_bytes()
    with pytest.raises(UserError, match=re.escape(message)):
        run("--data", str(data), "--resume", str(trace), *options)
    assert trace.read_bytes() == before


def test_a_step_may_be_longer(data: Path, tmp_path: Path) -> None:
    trace, common = str(tmp_path / "trace.json"), ("--data", str(data), "--critic", "logprob", "--json")
    assert json.loads(run(*common, "--max-new-tokens", "1", "--save", trace)[1])["reason"] != "confident"
    with pytest.raises(UserError, match="--max-new-tokens 8: the trace was made with 1"):
        run("--resume", trace, "--data", str(data), "--max-new-tokens", "8")
    long = "the city of Rome on the river Tiber in Italy"
    answers = [
        json.loads(run(*common, "--plan", "given", "Where?", *options, model=ScriptedModel({}, {long: 1.0}))[1])[
            "answer"
        ]
        for options in ((), ("--max-new-tokens", "12"))
    ]
    assert answers[0] != long and answers[1] == long


def test_resume_with_other_pages(data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    with pytest.raises(UserError, match="give the --data that it was made with"):
        run("--resume", str(trace))


def test_resume_with_another_model(data: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    before = trace.read_bytes()
    with pytest.raises(ValueError, match="model='scripted', this search has 'other'"):
        run("--data", str(data), "--resume", str(trace), model=ScriptedModel(TABLE, name="other"))
    assert trace.read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        {"method": "Other"},
        {"method": ["x"]},
        {"critic": "Mine()"},
        {"critic": [1]},
        {"selection": {}},
        {"tokens": "64"},
        {"tokens": -1},
        {"seed": None},
        {"plan": 7},
        {"plan": ["#3"]},
        {"question": None},
    ],
    ids=str,
)
def test_resume_with_a_damaged_header(data: Path, tmp_path: Path, spoil: dict[str, Any]) -> None:
    trace = tmp_path / "t.json"
    run("--data", str(data), "--save", str(trace))
    whole = Trace.load(trace)
    Trace(whole.header | spoil, whole.events).save(trace)
    before = trace.read_bytes()
    with pytest.raises((UserError, ValueError)) as caught:
        run("--data", str(data), "--resume", str(trace))
    assert str(caught.value)
    assert trace.read_bytes() == before


def test_data_without_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"pages": PAGES}))
    assert main(["ask", "--data", str(path)]) == 1
    assert "it has no questions; give one" in capsys.readouterr().err
    assert run("Who runs Rome?", "--data", str(path), "--plan", "given")[0] == 0


def test_missing_model_folder_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--model", "./no/such/folder"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "./no/such/folder" in said and "config.json" in said


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAVT_DEBUG", "1")
    with pytest.raises(UserError):
        main(["show", "nowhere"])


def test_unexpected_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("x\n\x1b[31m")

    monkeypatch.setattr(ask_module, "prepare", broken)
    assert main(["ask"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("bavt: error: KeyError:") and "BAVT_DEBUG=1" in said and said.count("\n") == 1


def test_interrupted_before_the_search(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ask_module, "prepare", interrupted)
    assert main(["ask"]) == 130
    assert capsys.readouterr().err == "bavt: interrupted\n"


def test_two_interrupts_in_a_second_keep_two_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = []
    for _ in range(3):
        paths.append(ask_module.unused(Path(time.strftime("bavt-%Y.trace.json"))))
        paths[-1].touch()
    assert len(set(paths)) == 3
