"""The project's own shape: layout, dependencies, environments and the start script."""

import ast
import hashlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bavt_minimal"
NAMED = {"budget", "tree", "selection", "steps", "critic", "search", "chains", "agent"}
# Every file at the top is kernel, so that code moved to a new file there still counts.
KERNEL = sorted({path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"})
AROUND = ("models", "tasks", "views", "cli", "critics", "training")
NOTEBOOK_ONLY = ("IPython", "ipykernel", "ipywidgets", "jupyter", "jupyterlab", "matplotlib")
# Import names that a declared distribution brings under another name.
BROUGHT_BY = {
    "anyio": "inspect-ai",
    "inspect_ai": "inspect-ai",
    "ipython": "ipywidgets",
    "packaging": "pytest",
    "nbformat": "nbval",
    "nbclient": "jupyter",
    "sklearn": "scikit-learn",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# Dependencies


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ]", line, maxsplit=1)[0].lower() for line in requirements}


CORE = names(PROJECT["dependencies"])
NOTEBOOKS = names(PROJECT["optional-dependencies"]["notebooks"])
TEST = names(PROJECT["optional-dependencies"]["test"]) - {"bavt-minimal"}
DASK, PEERS, BROWSER, INSPECT, HUB = (
    names(PROJECT["optional-dependencies"][extra]) for extra in ("dask", "peers", "browser", "inspect", "hub")
)
INSPECT_ONLY = "bavt_minimal.tasks.inspect_eval"  # needs its extra; all others do without theirs


def pins(text: str) -> dict[str, str]:
    """Exact versions in a constraints file or a conda environment's pip list."""
    return dict(re.findall(r"^\s*(?:- )?([A-Za-z0-9_.-]+)==(\S+)$", text, re.MULTILINE))


CONSTRAINTS = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of what a file imports, relative imports resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import module` names a module; elsewhere the extra part is harmless.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def third_party(paths: list[Path]) -> set[str]:
    tops = {name.split(".")[0] for path in paths for name in imports(path)}
    local = {"bavt_minimal", "tests", "conftest", "start", "exercises"}
    local |= {path.stem for path in (ROOT / "notebooks").iterdir() if path.is_dir()}
    local |= {path.stem for folder in ("tests", "benchmarks") for path in ROOT.glob(f"{folder}/*.py")}
    found = {top.lower() for top in tops - set(sys.stdlib_module_names) - local}
    return {BROUGHT_BY.get(name, name) for name in found}


def test_imports_are_declared() -> None:
    assert third_party(sorted(PACKAGE.rglob("*.py"))) <= CORE | NOTEBOOKS | DASK | INSPECT | HUB
    optional = DASK | PEERS | BROWSER | INSPECT
    assert third_party(sorted((ROOT / "tests").rglob("*.py"))) <= CORE | NOTEBOOKS | TEST | optional


def test_constraints_pin_every_direct_dependency_within_its_range() -> None:
    from packaging.requirements import Requirement

    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            continue
        assert requirement.name in CONSTRAINTS, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(CONSTRAINTS[requirement.name]), requirement


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    from packaging.requirements import Requirement

    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    found = {requirement.name: requirement for requirement in map(Requirement, lines)}
    assert len(found) > 20
    for name in found.keys() - {PROJECT["name"]}:
        assert sorted(each.operator for each in found[name].specifier) == ["<", ">="], found[name]
        assert found[name].url is None, found[name]


def test_environment_files_are_equal_and_agree_with_constraints() -> None:
    environment = (ROOT / "environment.yml").read_bytes()
    assert environment == (ROOT / "binder" / "environment.yml").read_bytes()
    assert not (ROOT / "binder" / "environment.yml").is_symlink()
    text = environment.decode()
    assert "- python=3.11\n" in text
    listed = pins(text)
    assert listed.items() <= CONSTRAINTS.items()
    assert set(listed) >= CORE | NOTEBOOKS | {"nbval"}
    torch = text.index("- torch==")
    assert text.rindex("- --extra-index-url https://download.pytorch.org/whl/cpu\n", 0, torch)


def test_core_imports_without_notebook_libraries() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({NOTEBOOK_ONLY!r}))\n"  # None: an import fails
        f"for name in ['bavt_minimal', *{sorted({*modules} - {INSPECT_ONLY})!r}]: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_needs_inspect_says_so() -> None:
    assert PROJECT["entry-points"]["inspect_ai"] == {"bavt_minimal": INSPECT_ONLY}
    code = f"import sys; sys.modules['inspect_ai'] = None; import {INSPECT_ONLY}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and f"{INSPECT_ONLY} needs Inspect AI" in done.stderr
    assert 'pip install "bavt-minimal[inspect]"' in done.stderr.splitlines()[-1]


# Layout


def code_lines(source: str) -> int:
    """Lines that hold code: no docstrings, comments or blank lines."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in quiet and token.string:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node) is None:
                continue
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def test_code_lines_by_hand() -> None:
    source = '"""Doc."""\n\n# why\nX = (\n    1,  # one\n)\n\ndef f():\n    """Doc\n\n    more."""\n'
    assert code_lines(source + '    return """a\n\n    b"""\n') == 3 + 1 + 3


def test_kernel_stays_small() -> None:
    counts = {name: code_lines((PACKAGE / f"{name}.py").read_text(encoding="utf-8")) for name in KERNEL}
    algorithm = ("budget", "tree", "selection", "critic", "search", "agent")
    assert sum(counts[name] for name in algorithm) < 410, counts
    assert sum(counts.values()) < 1320, counts  # with prompts, plans, traces and the baselines


@pytest.mark.parametrize("name", KERNEL)
def test_kernel_imports_only_the_kernel(name: str) -> None:
    own = [line.split(".") for line in imports(PACKAGE / f"{name}.py")]
    inside = {line[1] for line in own if line[0] == "bavt_minimal"}
    assert inside <= set(KERNEL), f"{name}.py imports {sorted(inside - set(KERNEL))}"


def test_layout() -> None:
    assert set(KERNEL) >= NAMED
    assert all((PACKAGE / folder / "__init__.py").is_file() for folder in AROUND)
    assert (PACKAGE / "py.typed").is_file()


# Files


def project_files() -> list[Path]:
    """Files that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        pytest.skip("git is not installed")
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in done.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_no_machine_paths_or_registry_hosts() -> None:
    # Written in pieces, so that this file does not find itself.
    paths = ["/" + "work/", "/" + "root/", "/" + "tmp/venv", "/" + "opt/"]
    hosts = ["pypi" + ".org", "python" + "hosted.org", "anaconda" + ".org"]
    torch_host = "download.pytorch" + ".org"
    may_name_torch = {
        *("start.py", "README.md", "environment.yml", "binder/environment.yml"),
        "tests/test_project.py",
    }
    for path in project_files():
        name = path.relative_to(ROOT).as_posix()
        text = path.read_bytes().decode("utf-8", "replace")
        found = [bad for bad in paths + hosts if bad in text]
        if name not in may_name_torch and torch_host in text:
            found.append(torch_host)
        assert not found, f"{name}: {found}"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
@pytest.mark.parametrize("name", ["binder/postBuild", ".ci/run"])
def test_scripts_are_executable(name: str) -> None:
    path = ROOT / name
    assert os.access(path, os.X_OK)
    assert path.read_bytes().startswith(b"#!/usr/bin/env bash\n")
    assert b"\r" not in path.read_bytes()


def test_readme_has_both_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 start.py ask" in text
    assert "python3 start.py test" in text


# start.py


class Machine(SimpleNamespace):
    """A start.py in an empty folder, with the commands it would have run."""

    start: ModuleType
    commands: list[list[str]]
    fails: Callable[[list[str]], bool]

    def installs(self) -> list[list[str]]:
        return [command for command in self.commands if "install" in command]


def load_start() -> ModuleType:
    specification = importlib.util.spec_from_file_location("start", ROOT / "start.py")
    assert specification is not None and specification.loader is not None
    start = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(start)
    return start


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    start = load_start()
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(start, "ROOT", tmp_path)
    monkeypatch.setattr(start, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(start, "STAMP", tmp_path / ".venv" / "installed.txt")
    monkeypatch.setattr(start, "PYTHON", tmp_path / ".venv" / "python")
    monkeypatch.setattr(start, "torch_index", lambda: [])
    it = Machine(start=start, commands=[], fails=lambda command: False)

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        if command[0] == str(start.PYTHON) and not start.PYTHON.exists():
            raise FileNotFoundError(command[0])
        it.commands.append(command)
        if "venv" in command:
            start.VENV.mkdir(exist_ok=True)
            start.PYTHON.touch()
        return SimpleNamespace(returncode=int(it.fails(command)))

    monkeypatch.setattr(start.subprocess, "run", run)
    return it


def test_second_set_up_installs_nothing(machine: Machine) -> None:
    machine.start.set_up("test")
    assert len(machine.installs()) == 1
    machine.start.set_up("test")
    machine.start.set_up("")  # the tests' environment serves `ask` too
    assert len(machine.installs()) == 1


def test_ask_first_then_test_then_ask(machine: Machine) -> None:
    machine.start.set_up("")
    machine.start.set_up("test")
    machine.start.set_up("")
    first, second = machine.installs()
    assert first[first.index("-e") + 1] == str(machine.start.ROOT)
    assert second[second.index("-e") + 1] == f"{machine.start.ROOT}[test]"
    assert "-c" in second


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_changed_dependencies_are_installed(machine: Machine, changed: str) -> None:
    machine.start.set_up("test")
    with (machine.start.ROOT / changed).open("a", encoding="utf-8") as file:
        file.write("# more\n")
    machine.start.set_up("")
    assert machine.installs()[-1][machine.installs()[-1].index("-e") + 1].endswith("[test]")
    machine.start.set_up("test")
    assert len(machine.installs()) == 2


def test_failed_install_is_repeated(machine: Machine) -> None:
    machine.start.set_up("")
    machine.fails = lambda command: "install" in command
    with pytest.raises(SystemExit, match="again"):
        machine.start.set_up("test")
    machine.fails = lambda command: False
    machine.start.set_up("")  # the half-done install spoiled this one too
    assert len(machine.installs()) == 3


def test_broken_environment_is_made_anew(machine: Machine) -> None:
    machine.start.set_up("")
    machine.start.PYTHON.unlink()
    machine.start.set_up("")
    made = [command for command in machine.commands if "venv" in command]
    assert len(made) == len(machine.installs()) == 2
    assert all("--clear" in command for command in made)


def test_missing_venv_module_gives_advice(machine: Machine) -> None:
    machine.fails = lambda command: "venv" in command
    with pytest.raises(SystemExit, match="python3-venv"):
        machine.start.set_up("")
    assert not machine.installs()


def test_damaged_stamp_is_not_trusted(machine: Machine) -> None:
    for damaged in ("", "nonsense", hashlib.sha256(b"other").hexdigest() + " test\n"):
        machine.start.set_up("test")
        machine.start.STAMP.write_text(damaged, encoding="utf-8")
        assert not machine.start.installed("")
        assert not machine.start.installed("test")


def test_checks_all_run_and_failures_are_named(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.fails = lambda command: "mypy" in command or "notebooks" in command
    assert machine.start.main(["test"]) == 1
    ran = [" ".join(command) for command in machine.commands]
    for part in ("ruff check", "ruff format --check", "mypy", "-n 2 --dist worksteal tests", "--dist loadfile --nbval"):
        assert any(part in line for line in ran)
    assert capsys.readouterr().out.splitlines()[-1] == "FAILED: types, notebooks"
    machine.fails = lambda command: False
    assert machine.start.main(["test"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("All passed: ")


@pytest.mark.parametrize(
    ("platform", "answers", "used"),
    [("linux", True, True), ("linux", False, False), ("darwin", True, False)],
)
def test_cpu_index_is_used_where_it_helps_and_answers(
    monkeypatch: pytest.MonkeyPatch, platform: str, answers: bool, used: bool
) -> None:
    start = load_start()

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        if not answers:
            raise TimeoutError(url)
        return io.BytesIO()

    monkeypatch.setattr(start.sys, "platform", platform)
    monkeypatch.setattr(start.urllib.request, "urlopen", urlopen)
    assert start.torch_index() == (["--extra-index-url", start.CPU_INDEX] if used else [])


def test_notebooks_are_opened_with_what_the_tests_need(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(machine.start.os, "execv", lambda path, command: ran.append(command))
    machine.start.main(["notebooks", "--no-browser"])
    (command,) = ran
    assert command[1:4] == ["-m", "jupyter", "lab"] and command[-1] == "--no-browser"
    assert Path(command[4]).name == "notebooks" and machine.start.installed("test")


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_start_help(arguments: list[str]) -> None:
    command = [sys.executable, str(ROOT / "start.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "start.py ask" in done.stdout and "start.py test" in done.stdout
