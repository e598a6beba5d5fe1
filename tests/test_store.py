"""The store: it equals a dict whatever happens to it, and says what is wrong with a file."""

from __future__ import annotations

import json
import lzma
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal.benchmark import store as store_module
from bavt_minimal.benchmark.store import FIELDS, Job, Row, Store, check_row, read_rows, write_rows

SETTINGS = {"model": "abc", "adapters": {"critic": "1f"}, "code": "0.1.0"}
JOB = Job("bavt", 64, 16, 0, "test-1")


def make_row(job: Job, **changes: Any) -> Row:
    return {
        **vars(job),
        "answer": "Rome",
        "right": 1.0,
        "hops": 2,
        "used": 19,
        "by_role": {"generator": [19, 0, 582], "tool": [0, 2, 0]},
        "prompt_tokens": 582,
        "tool_calls_used": 2,
        "reason": "answered",
        "forced": False,
        "fault": "",
        "seconds": 0.5,
        **changes,
    }


# Few jobs, so that they meet again; budgets of None, which SQLite would not call equal.
JOBS = st.builds(
    Job,
    method=st.sampled_from(["bavt", "vote\ud800 \0'"]),
    tokens=st.sampled_from([None, 64, 2**70]),
    tool_calls=st.sampled_from([None, 16]),
    seed=st.integers(0, 1),
    question=st.sampled_from(["test-1", '"']),
)
ROWS = st.builds(
    make_row,
    JOBS,
    answer=st.sampled_from(["Rome", "Oslo\n\u2028"]),
    right=st.sampled_from([0.0, 1.0, 0.1]),
    seconds=st.floats(0, 9),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.sqlite"


# Contents


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.lists(ROWS, max_size=4) | st.just("reopen"), max_size=8))
def test_any_sequence_of_adds_and_reopens_equals_a_dict(steps: list[Any]) -> None:
    known: dict[Job, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "rows.sqlite", SETTINGS)
        for rows in steps:
            if rows == "reopen":
                store.close()
                store = Store(Path(folder) / "rows.sqlite", SETTINGS)
                continue
            after = dict(known)
            fits = True
            for row in rows:
                first = after.setdefault(Job.of(row), row)
                fits &= first | {"seconds": 0} == row | {"seconds": 0}
            if fits:
                store.add(rows)
                known = after
            else:
                with pytest.raises(ValueError, match="another row for Job"):
                    store.add(rows)
            assert store.done() == set(known)
            assert {Job.of(row): row for row in store.rows()} == known and len(store.rows()) == len(known)
        store.close()


def test_rows_come_in_the_same_order_however_they_were_added(tmp_path: Path) -> None:
    rows = [make_row(Job("bavt", 64, None, seed, f"test-{n}")) for seed in range(3) for n in range(4)]
    orders = []
    for number in range(3):
        with Store(tmp_path / f"{number}.sqlite") as store:
            for row in random.Random(number).sample(rows, len(rows)):
                store.add([row])
            orders.append(store.rows())
    assert orders[0] == orders[1] == orders[2]


def test_the_file_as_sqlite_sees_it(path: Path) -> None:
    with Store(path, SETTINGS) as store:
        store.add([make_row(JOB), make_row(Job("vote", None, None, 1, "test-2"))])
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert other.execute("SELECT json_extract(row, '$.answer') FROM rows").fetchall() == [("Rome",)] * 2
            assert dict(other.execute("SELECT name, value FROM meta")) == {
                "format": "1",
                "settings": json.dumps(SETTINGS),
            }
        with Store(path) as reader:  # beside the one that writes
            assert reader.done() == store.done() and reader.settings == SETTINGS
    assert os.listdir(path.parent) == [path.name]  # a closed store is one file


def test_a_batch_is_stored_whole_or_not_at_all(path: Path) -> None:
    with Store(path) as store:
        store.add([make_row(JOB)])
        fresh = [make_row(Job("bavt", 64, 16, seed, "test-1")) for seed in range(1, 4)]
        with pytest.raises(ValueError, match=r"another row for Job\(method='bavt'.*answer is 'Rome' there and 'Oslo'"):
            store.add([*fresh, make_row(JOB, answer="Oslo")])
        with pytest.raises(ValueError, match="must be finite"):
            store.add([*fresh, make_row(JOB, seconds=math.nan)])
        assert store.rows() == [make_row(JOB)]
        store.add([*fresh, make_row(JOB, seconds=9.0)])
        assert len(store.rows()) == 4 and make_row(JOB) in store.rows()


# Kills, disks and other files


ADD_FOREVER = """
import sys
from test_store import JOB, make_row
from bavt_minimal.benchmark.store import Job, Store
store = Store(sys.argv[1])
for number in range(len(store.done()), 10**9):
    store.add([make_row(Job("bavt", None, None, number, "test-1"))])
    print(number + 1, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_9_loses_no_row_that_was_stored(path: Path) -> None:
    rng = random.Random(0)
    for _ in range(3):
        command = [sys.executable, "-c", ADD_FOREVER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(rng.randint(1, 60))]
            process.send_signal(signal.SIGKILL)
            said += process.stdout.readlines()
        stored = int([line for line in said if line.endswith("\n")][-1])
        with Store(path) as store:
            seeds = sorted(row["seed"] for row in store.rows())
        assert seeds == list(range(len(seeds))) and len(seeds) in (stored, stored + 1)


def test_a_full_disk_says_so_and_keeps_what_is_there(path: Path) -> None:
    with Store(path) as store:
        store.add([make_row(JOB)])
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own "disk full"
        more = [make_row(Job("bavt", 64, 16, seed, "test-1")) for seed in range(1, 100)]
        with pytest.raises(OSError, match=r"rows\.sqlite: database or disk is full; free some space"):
            store.add(more)
        assert store.rows() == [make_row(JOB)]
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.add(more)
        assert len(store.rows()) == 100


def test_a_locked_store_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 0.1)
    with Store(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="locked; another process"):
            store.add([make_row(JOB)])
        with pytest.raises(OSError, match="locked; another process"):
            Store(path)
        other.execute("ROLLBACK")
        store.add([make_row(JOB)])


def test_several_connections_may_make_and_fill_one_store(path: Path) -> None:
    def fill(first: int) -> None:
        with Store(path, SETTINGS) as store:
            for seed in range(first, first + 20):
                store.add([make_row(Job("bavt", 64, 16, seed, "test-1"))])

    threads = [threading.Thread(target=fill, args=[first]) for first in (0, 10, 20, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(path, SETTINGS) as store:
        assert [row["seed"] for row in sorted(store.rows(), key=lambda row: row["seed"])] == list(range(40))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"not a database, but longer than a header of SQLite is" * 9, "file is not a database"), (b"{}", "not a data")],
)
def test_a_file_of_another_kind_is_left_alone(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"rows\.sqlite is not a benchmark store.*{says}"):
        Store(path)
    assert path.read_bytes() == content


def test_another_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE songs (title)")
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"rows\.sqlite is not a benchmark store: it has the tables songs"):
        Store(path)
    assert path.read_bytes() == content


def test_a_damaged_store_says_so(path: Path) -> None:
    with Store(path) as store:
        store.add([make_row(Job("bavt", 64, 16, seed, "test-1")) for seed in range(100)])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(ValueError, match=r"rows\.sqlite is not a benchmark store, or it is damaged"):
        Store(path).rows()


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot use the store .*nowhere.* unable to open .*; is its folder there"):
        Store(tmp_path / "nowhere" / "rows.sqlite")
    with pytest.raises(OSError, match="cannot use the store"):
        Store(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("made", [False, True])
def test_a_read_only_folder_says_so(tmp_path: Path, made: bool) -> None:
    if made:
        Store(tmp_path / "rows.sqlite").close()
        (tmp_path / "rows.sqlite").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OSError, match=r"cannot use the store .*rows\.sqlite.*write to it"):
            Store(tmp_path / "rows.sqlite").add([make_row(JOB)])
    finally:
        tmp_path.chmod(0o755)


def test_other_settings_and_formats_are_refused(path: Path) -> None:
    with Store(path, SETTINGS) as store:
        store.add([make_row(JOB)])
    for key, value in (("model", "xyz"), ("adapters", {"critic": "2f"}), ("layers", 3)):
        with pytest.raises(ValueError, match=rf"rows\.sqlite was made with {key}=.*, this run has .*; use the same"):
            Store(path, SETTINGS | {key: value})
    with pytest.raises(ValueError, match="made with code='0.1.0', this run has None"):
        Store(path, {key: value for key, value in SETTINGS.items() if key != "code"})
    with Store(path, SETTINGS) as store:
        assert store.rows() == [make_row(JOB)]
        store._connection.execute("UPDATE meta SET value = '2' WHERE name = 'format'")
    with pytest.raises(ValueError, match="has format 2, this code reads format 1"):
        Store(path)


# Rows


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"right": True}, TypeError, r"right of Job\(.*\) must be float, got True"),
        ({"right": 1}, TypeError, "right of"),
        ({"right": math.inf}, ValueError, "right of .* must be finite"),
        ({"used": 1.0}, TypeError, "used of .* must be int"),
        ({"used": -1}, ValueError, "used of .* at least 0"),
        ({"forced": 0}, TypeError, "forced of .* must be bool"),
        ({"answer": None}, TypeError, "answer of .* must be str"),
        ({"by_role": {"tool": (0, 1, 0)}}, TypeError, "by_role of .* three counts, got 'tool'"),
        ({"by_role": {"tool": [0, 1]}}, TypeError, "by_role"),
        ({"by_role": {"tool": [0, 1, 0.5]}}, TypeError, "by_role"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": None}, TypeError, "seed must be a whole number"),
        ({"tokens": 1.5}, TypeError, "tokens must be a whole number"),
        ({"question": 3}, TypeError, "question must be a text"),
        ({"more": 3}, ValueError, "must not have more"),
    ],
)
def test_bad_rows_name_the_field(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        check_row(vars(JOB) | make_row(JOB) | changes)


@pytest.mark.parametrize("name", [*vars(JOB), *FIELDS])
def test_a_missing_field_is_named(name: str) -> None:
    row = make_row(JOB)
    del row[name]
    with pytest.raises(ValueError, match=f"a row must have {name}, got"):
        check_row(row)


# The file that is shipped


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ROWS, max_size=8, unique_by=Job.of), rng=st.randoms(use_true_random=False))
def test_rows_go_round_and_give_the_same_bytes_in_any_order(rows: list[Row], rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "rows.jsonl.xz", Path(folder) / "others.jsonl.xz"
        write_rows(one, rows)
        rng.shuffle(rows)
        write_rows(other, rows)
        assert one.read_bytes() == other.read_bytes()
        assert sorted(map(repr, read_rows(one))) == sorted(repr(dict(sorted(row.items()))) for row in rows)
        assert len(os.listdir(folder)) == 2
        assert lzma.decompress(one.read_bytes()).count(b"\n") == len(rows) + 1


def damages(content: bytes) -> Iterator[bytes]:
    plain = lzma.decompress(content)
    lines = plain.splitlines(keepends=True)
    yield b""
    yield b"no xz"
    yield content[:-1]
    yield content[: len(content) // 2]
    yield content[:40] + bytes([content[40] ^ 1]) + content[41:]
    yield lzma.compress(b"")
    yield lzma.compress(b"3\n")
    yield lzma.compress(b"".join(lines[:-1]))  # no checksum
    yield lzma.compress(b"".join(lines[1:]))  # a row is missing
    yield lzma.compress(b"".join([lines[1], lines[0], *lines[2:]]))
    yield lzma.compress(plain.replace(b'"right": 1.0', b'"right": 0.0', 1))
    yield lzma.compress(plain.replace(b'"format": 1', b'"format": 2'))


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.xz"
    write_rows(path, [make_row(Job("bavt", 64, 16, seed, "test-1")) for seed in range(3)])
    good = path.read_bytes()
    read = read_rows(path)
    assert len(read) == 3 and len({id(row["method"]) for row in read}) == len({row["method"] for row in read})
    for bad in damages(good):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"rows\.jsonl\.xz is not a file of benchmark rows: "):
            read_rows(path)
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "nowhere.jsonl.xz")


def test_rows_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write the rows to .*nowhere"):
        write_rows(tmp_path / "nowhere" / "rows.jsonl.xz", [])
    with pytest.raises(ValueError, match="one row for each job, got two for Job"):
        write_rows(tmp_path / "rows.jsonl.xz", [make_row(JOB), make_row(JOB, answer="Oslo")])
    assert not os.listdir(tmp_path)
