"""The ways in: Binder's files, the Colab cell, the dev container, the project's texts, and one address in all."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from bavt_minimal import __version__
from bavt_minimal.cli.main import make_parser

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# pyproject.toml has the address; OWNER stands for an account until there is one.
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
OWNER, NAME = REPOSITORY.removeprefix("https://github.com/").split("/")
TEXTS = (".md", ".toml", ".cff", ".yml", ".json", ".ipynb")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def project_texts():
    """Name and text of every file that may hold an address."""
    hidden = (".devcontainer", ".github", "binder", "docs", "notebooks")
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    paths += [
        path for folder in hidden for path in (ROOT / folder).rglob("*") if ".ipynb_checkpoints" not in path.parts
    ]
    for path in paths:
        if path.suffix in TEXTS:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


# One address and one version


def addresses(source):
    """Owners named before this repository's name, in links to GitHub and the services that read from it."""
    return set(re.findall(rf"(?:github\.com/|/gh/|/github/|codespaces\.new/)([\w.-]+)/{NAME}\b", source))


def test_addresses_are_found():
    links = [f"https://{host}/me/{NAME}/x" for host in ("github.com", "mybinder.org/v2/gh", "codespaces.new")]
    links.append(f"https://colab.research.google.com/github/me/{NAME}/blob")
    assert all(addresses(link) == {"me"} for link in links) and not addresses(f"github.com/me/{NAME}er")


def test_the_address_is_the_same_everywhere():
    found = {name: addresses(source) for name, source in project_texts()}
    wrong = {name: owners for name, owners in found.items() if owners - {OWNER}}
    assert not wrong, f"pyproject.toml has {REPOSITORY}; these differ: {wrong}"
    assert {"pyproject.toml", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"} <= {
        n for n, who in found.items() if who
    }


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {__version__}\n" in text("CITATION.cff")
    released = re.findall(r"^## \[(\d[^\]]*)\]", text("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == __version__
    for name, source in project_texts():
        tags = set(re.findall(rf"{NAME}/(?:blob/)?v(\d+\.\d+\.\d+)|--branch=v(\d+\.\d+\.\d+)", source))
        assert {a or b for a, b in tags} <= {__version__}, name


@pytest.mark.parametrize(
    "place",
    [
        f"mybinder.org/v2/gh/{OWNER}/{NAME}/v{__version__}?urlpath=lab/tree/",
        f"colab.research.google.com/github/{OWNER}/{NAME}/blob/v{__version__}/",
    ],
)
def test_badges_open_every_notebook_at_the_tag(place):
    linked = re.findall(re.escape(f"(https://{place}") + r"notebooks/([\w.]+)\)", text("README.md"))
    assert set(linked) == {path.name for path in NOTEBOOKS}


# Colab


def colab_cell(path):
    """The source of the second cell, which must be the one for Colab."""
    cell = nbformat.read(path, as_version=4).cells[1]
    assert cell.cell_type == "code" and cell.metadata.get("tags") == ["colab"], f"{path.name} lacks the cell for Colab"
    assert not cell.outputs
    return cell.source


def run_cell(monkeypatch, there):
    """What the cell calls, with a clone that is there already or not."""
    calls = []

    def run(command, **options):
        assert options == {"check": True}  # a failed install must not look like a missing module later
        calls.append(command)

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("os.chdir", lambda folder: calls.append(["cd", folder]))
    monkeypatch.setattr("os.path.isdir", lambda folder: there)
    exec(colab_cell(NOTEBOOKS[0]), {})
    return calls


def test_the_cell_is_in_every_notebook_and_the_same():
    assert len(NOTEBOOKS) == 8 and len({colab_cell(path) for path in NOTEBOOKS}) == 1


def test_the_cell_does_nothing_elsewhere(monkeypatch, capfd):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    assert run_cell(monkeypatch, there=False) == [] and capfd.readouterr() == ("", "")


def test_the_cell_installs_the_tagged_release_on_colab(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    clone, install, enter = run_cell(monkeypatch, there=False)
    home = f"/content/{NAME}"
    assert clone == ["git", "clone", "-q", "--depth=1", f"--branch=v{__version__}", REPOSITORY, home]
    assert install == [sys.executable, "-m", "pip", "install", "-q", home, "torchvision"]
    assert enter == ["cd", f"{home}/notebooks"]  # where the checks and the widgets are
    assert run_cell(monkeypatch, there=True) == [install, enter]
    assert capfd.readouterr() == ("", "")


# Binder and the dev container


def test_repo2docker_takes_our_files():
    pytest.importorskip("repo2docker", reason="jupyter-repo2docker is not installed")
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--no-run", "--debug", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Building conda environment for python=3.11\n" in said
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in said
    assert said.index("binder/environment.yml") < said.index("RUN ./binder/postBuild")


def test_post_build_is_strict_and_fetches_the_weights():
    lines = text("binder/postBuild").splitlines()
    assert lines[2] == "set -euo pipefail" and lines[-1] == "bavt fetch"


def test_the_dev_container_sets_itself_up():
    container = json.loads(text(".devcontainer/devcontainer.json"))
    assert container["image"].endswith("/python:3.11")
    assert container["postCreateCommand"] == "bash .devcontainer/setup"
    lines = text(".devcontainer/setup").splitlines()
    assert "set -euo pipefail" in lines and lines[-1] == "bavt fetch"
    assert any(line.startswith("pip install") and "-c constraints.txt -e" in line for line in lines)


IMAGE = runpy.run_path(str(ROOT / "binder" / "try_image.py"), run_name="try_image")


def test_the_image_is_tried_with_the_pip_part_of_the_environment():
    environment = "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - --index x\n      - a==1\n      - b==2\n"
    assert IMAGE["pip_lines"](environment) == ["--index x", "a==1", "b==2"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_all_descendants():
    # The child has a session of its own, as a kernel has, and 64 MiB.
    child = "data = bytearray(2**26); print('ready', flush=True); import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        members = IMAGE["family"](process.pid)
        assert len(members) == 2 and 2**26 < IMAGE["resident"](process.pid) < 2**28
        IMAGE["stop"](process.pid)
    assert IMAGE["resident"](process.pid) == 0


# Texts


BLOCKS = re.findall(r"^### (.+?)\n.*?```python\n(.*?)```", text("CONTRIBUTING.md"), re.DOTALL | re.MULTILINE)


def test_contributing_shows_three_things():
    assert [title for title, _ in BLOCKS] == ["A critic", "A selection rule", "A task"]
    assert text("CONTRIBUTING.md").count("```python") == 3


@pytest.mark.parametrize(("title", "code"), BLOCKS)
def test_contributing_code_runs(title, code):
    assert len(code.splitlines()) < 30 and "assert " in code
    exec(compile(code, title, "exec"), {"__name__": "contributed"})


@pytest.mark.parametrize("name", ["docs/models.md", "docs/use.md", "docs/results.md", "CONTRIBUTING.md"])
def test_commands_in_texts_are_commands(name):
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text(name), re.DOTALL)).replace("\\\n", " ")
    lines = [line.split("#  ")[0].split("  #")[0] for line in blocks.splitlines() if line.startswith("bavt ")]
    for line in lines:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        assert make_parser().parse_args(words[1:]).command == words[1], line
    assert lines or name == "CONTRIBUTING.md"


def test_security_says_that_a_models_code_is_not_run():
    assert "`trust_remote_code` is never set" in text("SECURITY.md")
    folders = ("bavt_minimal", "benchmarks", "notebooks")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".ipynb")]
    assert not [path for path in sources if "trust_remote_code" in path.read_text(encoding="utf-8")]
    package = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "bavt_minimal").rglob("*.py"))
    assert not re.search(r"\b(pickle|marshal|shelve)\b|torch\.load\(|(?<![.\w])(eval|exec)\(", package)
