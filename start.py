"""Set up bavt_minimal in its own environment (.venv beside this file) and run it.

    python3 start.py ask ["question"] ...   answer a question with a real model
    python3 start.py test                   lint, types, tests and notebooks
    python3 start.py notebooks              open the notebooks in JupyterLab
    python3 start.py <command> ...          any other command of bavt (show, fetch, --version)

The first run downloads some 400 MB, weights included, and fills about 2 GB of disk; later runs
start at once. Needs Python 3.11 or newer.
"""

import hashlib
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("start.py needs Python 3.11 or newer, this is " + sys.version.split()[0])

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "installed.txt"  # "<key> <extra>", written after an install has succeeded
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NBVAL = "--nbval --nbval-current-env --nbval-cell-timeout=600".split()  # seconds
TWO = ["-n", "2", "--dist"]  # processes, of one thread and up to 1.5 GB each
CHECKS = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "tests": ["pytest", *TWO, "worksteal", "tests"],
    "notebooks": ["pytest", *TWO, "loadfile", *NBVAL, "notebooks"],
}


def say(text: str) -> None:
    print(text, flush=True)


def key() -> str:
    """What an install depends on. The path is in it because an editable install records it."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join([*parts, str(ROOT).encode()])).hexdigest()


def installed(extra: str) -> bool:
    """True if the last complete install was of these files and had `extra` ("" or "test")."""
    found = STAMP.read_text(encoding="utf-8").split() if STAMP.is_file() else []
    return found[:1] == [key()] and (not extra or found[1:] == [extra])


def works() -> bool:
    """False for no environment, a half-made one, or one whose Python was removed or replaced."""
    try:
        return subprocess.run([str(PYTHON), "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


def torch_index() -> list[str]:
    """On Linux the default torch brings gigabytes of CUDA; PyTorch's own index has a CPU build."""
    if sys.platform != "linux":
        return []
    try:
        urllib.request.urlopen(CPU_INDEX + "/torch/", timeout=3).close()
        return ["--extra-index-url", CPU_INDEX]
    except Exception:  # whatever is wrong with that way, pip may know another
        say("PyTorch's CPU index does not answer: pip's own may give the larger build with CUDA.")
        return []


def set_up(extra: str) -> None:
    """Make the environment and install the project with `extra`, unless that is done already."""
    ready = works()
    if ready and installed(extra):
        return
    if not ready:
        say(f"Making an environment in {VENV} ...")
        if subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)]).returncode:
            sys.exit("No environment was made. Debian, Ubuntu: sudo apt install python3-venv")
    elif not extra and STAMP.is_file():
        extra = "test" if STAMP.read_text(encoding="utf-8").endswith(" test\n") else ""
    STAMP.unlink(missing_ok=True)  # an install that is interrupted from here on is repeated
    say("Installing bavt_minimal and its dependencies (the first time some 300 MB) ...")
    what = ["-e", f"{ROOT}[{extra}]" if extra else str(ROOT)]
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *what]
    command += ["-c", str(ROOT / "constraints.txt"), *torch_index()]
    # pip shows its progress bar only without -q; in a log, errors are enough.
    if subprocess.run([*command, *([] if sys.stdout.isatty() else ["-qq"])]).returncode:
        sys.exit("pip failed. Check the network and free disk (3 GB), then run this again.")
    STAMP.write_text(f"{key()} {extra}\n", encoding="utf-8")


def run_checks() -> int:
    failed, environment = [], {**os.environ, "OMP_NUM_THREADS": "1"}  # torch's threads
    for name, command in CHECKS.items():
        say(f"\n== {name}: {' '.join(command)}")
        if subprocess.run([str(PYTHON), "-m", *command], cwd=ROOT, env=environment).returncode:
            failed.append(name)
    say("\n" + ("FAILED: " + ", ".join(failed) if failed else "All passed: " + ", ".join(CHECKS)))
    return 1 if failed else 0


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        say(__doc__.strip())
        return 0
    if arguments[0] == "test" and len(arguments) > 1:
        sys.exit("start.py test takes no arguments, not " + " ".join(arguments[1:]))
    set_up("test" if arguments[0] in ("test", "notebooks") else "")
    if arguments[0] == "test":
        return run_checks()
    command = [str(BIN / "bavt"), *arguments]
    if arguments[0] == "notebooks":
        command = [str(PYTHON), "-m", "jupyter", "lab", str(ROOT / "notebooks"), *arguments[1:]]
    if sys.platform == "win32":
        return subprocess.run(command).returncode
    os.execv(command[0], command)  # bavt itself gets Ctrl-C, and time to save its trace


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
