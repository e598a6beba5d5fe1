"""Build wheel and sdist, look into both, install each in a clean environment and use it outside the clone.

    python tests/packages.py     # 10 minutes or more, 3 GB of disk

Needs the network, and `build` and `twine` (pip install build twine) in the Python that runs it; whichever Python that
is, 3.11 or newer, is the one that is tried. The weights come from the usual cache, or are fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from start import BIN, VENV, torch_index  # noqa: E402

IN_BOTH = (
    "bavt_minimal/py.typed",
    "bavt_minimal/adapters/critic/adapter_model.safetensors",
    "bavt_minimal/adapters/head/head.safetensors",
    "bavt_minimal/adapters/head/features.safetensors",
    "bavt_minimal/adapters/planner/adapter_model.safetensors",
    "bavt_minimal/benchmark/recorded/dev.jsonl.xz",
    "bavt_minimal/benchmark/recorded/test.jsonl.xz",
    *(
        f"bavt_minimal/{path.relative_to(ROOT / 'bavt_minimal')}"
        for path in ROOT.glob("bavt_minimal/*/recorded/bank/*")
    ),
)
IN_SDIST = ("README.md", "constraints.txt", "start.py", "tests/conftest.py", "notebooks/00_first_search.ipynb")
UNWANTED = (".git/", ".venv/", ".ci/", "__pycache__", ".sqlite", ".ipynb_checkpoints", "screenshots/")
# Of the tests those that need no clone around them.
TESTS = ("budget", "selection", "search", "scripted", "data", "lookup", "encyclopedia", "bank", "recorded", "cli")


def run(*command: object, cwd: Path, **env: str) -> str:
    """Run a command to its end and return what it printed; exits with it if it failed."""
    words = [str(word) for word in command]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, cwd=cwd, env=kept | env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(words)}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def look_into(archive: Path, wanted: tuple[str, ...]) -> None:
    """Names and size; exits if something is missing or does not belong there."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = wheel.namelist()
    else:
        with tarfile.open(archive) as sdist:
            names = [name.partition("/")[2] for name in sdist.getnames()]
    missing = [name for name in wanted if name not in names]
    unwanted = [name for name in names if any(part in name for part in UNWANTED)]
    if missing or unwanted:
        sys.exit(f"{archive.name}: missing {missing}, unwanted {unwanted}")
    tops = sorted({name.partition("/")[0] for name in names})
    print(f"{archive.name}: {archive.stat().st_size / 1e6:.1f} MB, {len(names)} files; at the top: {', '.join(tops)}")


def try_out(archive: Path, here: Path, tests: Path, *how: object) -> None:
    """Install it with the tests' tools, ask a question, run tests: all outside the clone."""
    start, work = time.monotonic(), tests.parent
    run(here / "python", "-m", "pip", "install", "-q", archive, *how, cwd=work)
    print(f"{archive.name}: installed in {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
    where = run(here / "python", "-c", "import bavt_minimal; print(bavt_minimal.__file__)", cwd=work).strip()
    if not Path(where).is_relative_to(here.parent):
        sys.exit(f"{archive.name}: imported from {where}, not from its environment")
    for line in run(here / "bavt", "ask", cwd=work).splitlines():
        if line.startswith(("Answer", "Gold")):
            print(" ", line, flush=True)
    print(" ", run(here / "bavt", "bench", "--recorded", cwd=work).splitlines()[-1], flush=True)
    names = [tests / f"test_{name}.py" for name in TESTS]
    tested = run(here / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *names, cwd=work)
    print(" ", tested.splitlines()[-1], flush=True)


def main() -> None:
    """All of it. The sdist takes the wheel's place, so that what both depend on is installed once."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(sys.executable, "-m", "build", "--outdir", work / "dist", ROOT, cwd=work)
        [sdist], [wheel] = (work / "dist").glob("*.tar.gz"), (work / "dist").glob("*.whl")
        print(run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=work).strip())
        look_into(wheel, IN_BOTH)
        look_into(sdist, (*IN_BOTH, *IN_SDIST))
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        tests, here = work / "away" / "tests", work / "venv" / BIN.relative_to(VENV)
        tests.parent.mkdir()
        for name in ("tests", "docs"):  # one test compares docs/benchmark.md with the record
            shutil.move(work / sdist.name.removesuffix(".tar.gz") / name, tests.parent)
        run(sys.executable, "-m", "venv", work / "venv", cwd=work)
        try_out(wheel, here, tests, "-c", ROOT / "constraints.txt", "pytest", "hypothesis", *torch_index())
        try_out(sdist, here, tests, "--force-reinstall", "--no-deps")


if __name__ == "__main__":
    main()
