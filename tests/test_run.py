"""Running jobs: every row once, whoever is killed, and wherever the jobs run."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import kill_sweep
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kill_sweep import without_seconds
from test_store import JOB, JOBS, make_row

from bavt_minimal.benchmark.run import dask_executor, process_executor, question_and_seed, run_jobs
from bavt_minimal.benchmark.store import Job, Row, Store

KILLS = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
NO_DASK = 'needs Dask: pip install "bavt-minimal[dask]"'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "rows.sqlite") as store:
        yield store


def jobs_of(questions: int, methods: int = 2) -> list[Job]:
    return [Job(f"m{method}", 64, 16, 0, f"test-{q}") for method in range(methods) for q in range(questions)]


def answer_all(jobs: list[Job]) -> list[Row]:
    return [make_row(job, answer=f"{job.question} by {job.method}") for job in jobs]


# In this process


@settings(max_examples=40, deadline=None)
@given(
    jobs=st.lists(JOBS, max_size=12),
    there=st.sets(JOBS, max_size=4),
    bad=st.sets(st.sampled_from([("test-1", 0), ("test-1", 1), ('"', 0)])),
)
def test_every_job_is_run_once_in_its_batch(jobs: list[Job], there: set[Job], bad: set[tuple[str, int]]) -> None:
    calls: list[list[Job]] = []
    told: list[tuple[int, int]] = []

    def work(batch: list[Job]) -> list[Row]:
        calls.append(batch)
        if question_and_seed(batch[0]) in bad:
            raise ZeroDivisionError("bad")
        return answer_all(batch)

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "rows.sqlite") as store:
        store.add(answer_all(list(there)))
        wanted = set(jobs) - there
        good = {job for job in wanted if (job.question, job.seed) not in bad}
        if good == wanted:
            assert run_jobs(jobs, work, store, progress=lambda *now: told.append(now)) == len(wanted)
        else:
            with pytest.raises(RuntimeError, match=f"^{len(wanted - good)} of {len(wanted)} jobs failed.*bad$"):
                run_jobs(jobs, work, store, progress=lambda *now: told.append(now))
        assert store.done() == there | good
        assert sorted(map(repr, store.rows())) == sorted(
            repr(dict(sorted(row.items()))) for row in answer_all(list(there | good))
        )
        assert Counter(job for batch in calls for job in batch) == Counter(wanted)
        assert len(calls) == len({(job.question, job.seed) for job in wanted})
        assert all(len({(job.question, job.seed) for job in batch}) == 1 for batch in calls)
        assert told == sorted(told) and told[0] == (len(set(jobs) & there), len(set(jobs)))
        assert told[-1] == (len(set(jobs)) - len(wanted - good), len(set(jobs)))
        bad.clear()
        calls.clear()
        assert run_jobs(jobs, work, store) == len(wanted - good)  # only what had failed
        assert Counter(job for batch in calls for job in batch) == Counter(wanted - good)


def test_batches_are_stored_one_by_one_and_may_be_others(store: Store) -> None:
    seen: list[int] = []

    def work(batch: list[Job]) -> list[Row]:
        seen.append(len(store.done()))
        return answer_all(batch)

    assert run_jobs(jobs_of(4), work, store, batch=lambda job: job.method) == 8
    assert seen == [0, 4]


def wrong(rows: list[Row]) -> Iterable[tuple[Any, str]]:
    yield rows[1:], "must return 1 rows for Job.*, got 0"
    yield [*rows, rows[0]], "must return 1 rows for Job.*, got 2"
    yield [*rows, make_row(JOB)], "must return 0 rows for Job.*, got 1"
    yield None, "must return a list of rows, got None"
    yield [rows[0] | {"seconds": float("nan")}, *rows[1:]], "seconds of Job.* must be finite"
    yield [{}, *rows], "a row must have answer"


@pytest.mark.parametrize("number", range(6))
def test_work_that_returns_other_rows_fails_its_batch(store: Store, number: int) -> None:
    says = list(wrong(answer_all([Job("m0", 64, 16, 0, "test-1")])))[number][1]

    def work(batch: list[Job]) -> list[Row]:
        rows = answer_all(batch)
        return list(wrong(rows))[number][0] if batch[0].question == "test-1" else rows

    with pytest.raises(RuntimeError, match=f"^2 of 6 jobs failed.*first the 2 from Job.*test-1.*{says}"):
        run_jobs(jobs_of(3), work, store)
    assert store.done() == {job for job in jobs_of(3) if job.question != "test-1"}


def test_a_store_that_cannot_be_written_to_stops_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(rows: list[Row]) -> None:
        raise OSError("disk full")

    calls: list[Job] = []
    monkeypatch.setattr(store, "add", full)
    with pytest.raises(OSError, match="disk full"):
        run_jobs(jobs_of(3), lambda batch: calls.extend(batch) or answer_all(batch), store)
    assert len(calls) == 2


@pytest.mark.parametrize("executor", [None, partial(ThreadPoolExecutor, 1)])
def test_ctrl_c_keeps_what_is_stored_and_starts_nothing_new(store: Store, executor: Any) -> None:
    calls: list[list[Job]] = []

    def work(batch: list[Job]) -> list[Row]:
        calls.append(batch)
        time.sleep(0.01)
        return answer_all(batch)

    def stop(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs_of(50), work, store, executor, progress=stop)
    assert len(store.done()) == 6
    time.sleep(0.1)
    assert len(calls) <= 4  # the one that ran is let go
    assert run_jobs(jobs_of(50), work, store, executor) == 94 and len(store.rows()) == 100


def test_ctrl_c_in_the_work_is_not_a_failed_batch(store: Store) -> None:
    def work(batch: list[Job]) -> list[Row]:
        if batch[0].question == "test-2":
            raise KeyboardInterrupt
        return answer_all(batch)

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs_of(5), work, store)
    assert len(store.done()) == 4


def test_arguments_that_will_not_do(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="executor must be a function .* got <concur"):
        run_jobs(jobs_of(1), answer_all, store, pool)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="jobs must be a list of Job, got 'test-1'"):
        run_jobs(["test-1"], answer_all, store)  # type: ignore[list-item]


# In other processes


def test_all_executors_give_the_same_table(tmp_path: Path) -> None:
    tables = []
    executors: list[Callable[[], Executor] | None] = [
        None,
        partial(ThreadPoolExecutor, 3),
        partial(process_executor, 2),
    ]
    for number, executor in enumerate(executors):
        with Store(tmp_path / f"{number}.sqlite") as store:
            assert run_jobs(kill_sweep.make_jobs(3), kill_sweep.search_all, store, executor) == 54
            tables.append(without_seconds(store.rows()))
    assert tables[0] == tables[1] == tables[2]
    assert {row["reason"] for row in tables[0]} == {"tokens", "tool_calls"}


class Breaks(ThreadPoolExecutor):
    """A pool that breaks as one of processes does: after so many batches it takes no more."""

    def __init__(self, lasts: int):
        super().__init__(1)
        self.lasts = lasts

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        self.lasts -= 1
        if self.lasts < 0:
            raise BrokenExecutor("broken")
        return super().submit(work, *arguments, **options)


def test_a_pool_that_breaks_is_replaced_while_that_helps(store: Store) -> None:
    made: list[Breaks] = []

    def pool(lasts: int) -> Breaks:
        made.append(Breaks(lasts))
        return made[-1]

    assert run_jobs(jobs_of(20), answer_all, store, partial(pool, 1)) == 40 and len(made) == 20
    made.clear()
    with pytest.raises(RuntimeError, match="6 of 6 jobs failed.*BrokenExecutor: broken"):
        run_jobs(jobs_of(23), answer_all, store, partial(pool, 0))
    assert len(made) == 4  # once, and three times again
    assert len(store.done()) == 40


def test_an_executor_that_gives_up_is_an_error(store: Store) -> None:
    class Lost(ThreadPoolExecutor):
        def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
            future: Future[Any] = super().submit(work, *arguments, **options)
            if arguments[0][0].question == "test-1":
                future = Future()
                future.cancel()
                future.set_running_or_notify_cancel()
            return future

    with pytest.raises(RuntimeError, match="^2 of 6 jobs failed.*test-1.*has the Dask scheduler stopped"):
        run_jobs(jobs_of(3), answer_all, store, partial(Lost, 1))
    assert len(store.done()) == 4


@KILLS
def test_a_killed_worker_costs_nothing_but_time(store: Store, tmp_path: Path) -> None:
    pool, work = partial(process_executor, 2), partial(kill_sweep.die, tmp_path)
    jobs = [job for job in kill_sweep.make_jobs(8) if job.tokens == 20 and job.seed == 0]
    fine = [job for job in jobs if job.question != "test-0"]
    assert run_jobs(fine[:-3], work, store, pool) == 18
    assert (tmp_path / "died").exists()
    with pytest.raises(RuntimeError, match=r"^3 of 6 jobs failed.*test-0.*BrokenProcessPool"):
        run_jobs(jobs, work, store, pool)
    expected = sorted(kill_sweep.search_all(fine), key=lambda row: Job.of(row).key())
    assert without_seconds(store.rows()) == without_seconds(expected)


@KILLS
def test_two_kills_of_a_sweep_lose_and_double_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = kill_sweep.main(["--kills", "2", "--questions", "16", "--processes", "2"]), capsys.readouterr().out
    assert said.splitlines()[-1] == "2 kills, 288 rows: 0 lost, 0 doubled, 0 changed, 0 other problems", said
    assert code == 0


def test_the_comparison_sees_what_it_is_there_to_see(store: Store) -> None:
    rows = answer_all(jobs_of(3))
    store.add([*rows[1:-1], rows[-1] | {"answer": "?"}])
    assert kill_sweep.compare(rows, store.path) == {"lost": 1, "doubled": 0, "changed": 1}
    store._connection.execute("ALTER TABLE rows RENAME TO old")
    store._connection.execute("CREATE TABLE rows AS SELECT * FROM old UNION ALL SELECT * FROM old")
    assert kill_sweep.compare(rows, store.path)["doubled"] > 0


# On a Dask cluster


def slowly(jobs: list[Job]) -> list[Row]:
    time.sleep(0.05)
    return kill_sweep.search_all(jobs)


@KILLS
def test_a_dask_worker_killed_midway_costs_nothing_but_time(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason=NO_DASK)
    jobs, killed = kill_sweep.make_jobs(8), list[int]()
    with Store(tmp_path / "here.sqlite") as store:
        run_jobs(jobs, kill_sweep.search_all, store)
        expected = without_seconds(store.rows())
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
        Store(tmp_path / "dask.sqlite") as store,
    ):
        workers = list(client.run(os.getpid).values())
        assert len(set(workers)) == 2 and os.getpid() not in workers

        def kill_one(done: int, total: int) -> None:
            if done > total // 3 and not killed:
                killed.append(workers[0])
                os.kill(workers[0], signal.SIGKILL)

        executor = partial(dask_executor, cluster.scheduler_address)
        assert run_jobs(jobs, slowly, store, executor, progress=kill_one) == len(jobs)
        assert killed and without_seconds(store.rows()) == expected


def test_dask_without_a_scheduler() -> None:
    pytest.importorskip("distributed", reason=NO_DASK)
    with pytest.raises(OSError, match="no Dask scheduler answers at 'tcp://127.0.0.1:9'.*dask scheduler"):
        dask_executor("tcp://127.0.0.1:9", seconds=0.5)


def test_dask_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r'not installed; run: pip install "bavt-minimal\[dask\]"'):
        dask_executor("tcp://127.0.0.1:9")
