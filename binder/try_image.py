"""Do in a fresh folder what Binder's image does, in the same order, and run notebook 00 there with Binder's limits.

    python3.11 binder/try_image.py [NOTEBOOK]      # Linux only; 10 minutes or more, 3 GB of disk, downloads some 500 MB

1. what git tracks is copied, and a virtual environment made, home and caches being empty folders
2. the pip part of environment.yml (PyTorch's index only if it answers)
3. binder/postBuild
4. a JupyterLab server is started, as on Binder, and the notebook is run to its end beside it

All of it on one core. After each step: its minutes, and the peak of the resident memory of all its processes added up,
which counts shared pages more than once and so is too high rather than too low. Over 2 GB the step is killed.
conda is not run: its part of the environment is Python itself. Exit code 0 if every step ended well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 2 * 2**30  # bytes, what mybinder.org gives a session
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def pip_lines(environment: str) -> list[str]:
    """What conda would hand to pip: the lines of the pip section."""
    return re.findall(r"^ +- (.+)$", environment.split("- pip:\n")[1], re.MULTILINE)


def family(process: int) -> set[int]:
    """A process and all that descend from it: kernels have sessions of their own, so these would not do."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it ended meanwhile
            # After the name, which may hold blanks: state, parent.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, more = {process}, {process}
    while more := {child for child, parent in parents.items() if parent in more} - found:
        found |= more
    return found


def resident(process: int) -> int:
    """Bytes in memory of a process and all that descend from it."""
    total = 0
    for each in family(process):
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE
    return total


def stop(process: int) -> None:
    """End a process that this script started, and all that descend from it."""
    for each in family(process):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def step(name: str, command: list[str], cwd: Path, env: dict[str, str], beside: int = 0) -> None:
    """Run a command to its end, watching its memory and that of the process `beside` it. Exits if it fails."""
    start, peak, log = time.monotonic(), 0, cwd.parent / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=file)
        while process.poll() is None and peak <= LIMIT:
            peak = max(peak, resident(process.pid) + (resident(beside) if beside else 0))
            time.sleep(0.1)
        if process.returncode is None:
            stop(process.pid)
            process.wait()
    spent = f"{name:12} {(time.monotonic() - start) / 60:5.1f} minutes, peak {peak / 2**20:5.0f} MiB"
    print(spent, flush=True)
    if peak > LIMIT or process.returncode:
        why = "over 2 GB" if peak > LIMIT else f"exit code {process.returncode}"
        sys.exit(f"{name}: {why}\n" + log.read_text(encoding="utf-8", errors="replace")[-3000:])


def main(notebook: str) -> None:
    """All steps."""
    if sys.platform != "linux" or sys.version_info[:2] != (3, 11):
        sys.exit("Binder's image is Linux with Python 3.11: run this with python3.11 on Linux")
    sys.path.insert(0, str(ROOT))
    from start import torch_index

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # inherited by all that follows
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        home, clone, venv = work / "home", work / "clone", work / "venv"
        home.mkdir()
        clone.mkdir()
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["cp", "--parents", "-t", str(clone), *tracked.decode().split("\0")[:-1]], cwd=ROOT, check=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_", "BAVT_"))}
        env = kept | {"HOME": str(home), "PATH": f"{venv}/bin:{os.environ['PATH']}", "VIRTUAL_ENV": str(venv)}
        step("environment", [sys.executable, "-m", "venv", str(venv)], clone, env)
        lines = pip_lines((clone / "binder" / "environment.yml").read_text(encoding="utf-8"))
        packages = [line for line in lines if not line.startswith("--")]
        step("pip", ["pip", "install", "-q", "--no-input", *torch_index(), *packages], clone, env)
        step("postBuild", ["./binder/postBuild"], clone, env)
        lab = ["jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
        with (work / "lab.txt").open("wb") as file:
            server = subprocess.Popen(lab, cwd=clone, env=env, stdout=file, stderr=file)
        try:
            run = ["jupyter", "nbconvert", "--execute", "--to=notebook", f"--output-dir={work}"]
            step("notebook", [*run, f"notebooks/{notebook}"], clone, env, beside=server.pid)
            if server.poll() is not None:
                sys.exit("JupyterLab ended: " + (work / "lab.txt").read_text(errors="replace")[-3000:])
        finally:
            stop(server.pid)
            server.wait()
        left = [path.name for path in (home / ".cache" / "bavt").iterdir()]
        print("weights in the image:", ", ".join(left))


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["00_first_search.ipynb"]))
