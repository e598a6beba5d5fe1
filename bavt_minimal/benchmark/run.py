"""Run the jobs of a benchmark, in this process, in several, or on a Dask cluster, and store their rows.

Only this process writes to the store, a batch at a time, so that a sweep may be killed at any moment and run again.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import get_context, parent_process

from .store import Job, Row, Store, check_row

RETRIES = 3  # times in a row that an executor may break before a batch is done
Work = Callable[[list[Job]], list[Row]]
Batches = Mapping[Hashable, list[Job]]


def question_and_seed(job: Job) -> Hashable:
    """What the jobs of a batch have in common: all methods can then share the model's samples for a question."""
    return job.question, job.seed


def run_jobs(
    jobs: Iterable[Job],
    work: Work,
    store: Store,
    executor: Callable[[], Executor] | None = None,
    batch: Callable[[Job], Hashable] = question_and_seed,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Run the jobs that `store` does not have and store their rows. Returns how many that were.

    `work` gets the jobs of a batch and returns a row for each; if it has a method `part`, an executor is sent what this
    returns for the batch in its place. `executor` makes the `concurrent.futures.Executor` that
    `work` runs in, such as `partial(process_executor, 4)` or a Dask client's `get_executor`: a function, because a pool
    that lost a process cannot be used again. It is shut down at the end. None: one batch after the other, here.
    `batch`: jobs with the same value are run together. `progress(done, total)` is told the jobs that are stored.

    A batch that fails is not stored, and the others go on; at the end a RuntimeError says which. Ctrl-C and a store
    that cannot be written to stop at once. In all cases what was stored stays, and the same call does the rest.
    """
    if executor is not None and not callable(executor):
        raise TypeError(
            "executor must be a function that makes an executor, such as partial(process_executor, 4), "
            f"got {executor!r}"
        )
    wanted = list(dict.fromkeys(jobs))  # a job that is listed twice is run once
    for job in wanted:
        if not isinstance(job, Job):
            raise TypeError(f"jobs must be a list of Job, got {job!r}")
    have, left = store.done(), dict[Hashable, list[Job]]()
    for job in wanted:
        if job not in have:
            left.setdefault(batch(job), []).append(job)
    missing, ran, breaks = sum(map(len, left.values())), 0, 0
    failed: list[tuple[list[Job], Exception]] = []
    if progress is not None:
        progress(len(wanted) - missing, len(wanted))
    while left:
        before = len(left)
        broken: BrokenExecutor | None = None
        with closing(_results(work, dict(left), executor)) as results:
            for key, result in results:
                rows = _outcome(left[key], result)
                if isinstance(rows, BrokenExecutor):  # a process died, this batch's or another's
                    broken = rows
                elif isinstance(rows, Exception):
                    failed.append((left.pop(key), rows))
                else:
                    store.add(rows)
                    ran += len(left.pop(key))
                    if progress is not None:
                        progress(len(wanted) - missing + ran, len(wanted))
        breaks = breaks + 1 if len(left) == before else 0
        if broken is not None and breaks > RETRIES:
            failed += [(group, broken) for group in left.values()]
            break
        # A batch that kills its process is likely one of the first that are left: it goes to the end.
        left = dict(reversed(left.items()))
    if failed:
        group, first = failed[0]
        raise RuntimeError(
            f"{sum(len(group) for group, _ in failed)} of {missing} jobs failed, the others are stored; first the "
            f"{len(group)} from {group[0]} on: {type(first).__name__}: {first}"
        ) from first
    return ran


def _outcome(jobs: list[Job], result: Callable[[], list[Row]]) -> list[Row] | Exception:
    """The rows of a batch, or why there are none."""
    try:
        return check_rows(jobs, result())
    except CancelledError:  # says nothing itself
        return ConnectionError("the executor gave it up; has the Dask scheduler stopped?")
    except Exception as error:
        return error


def check_rows(jobs: list[Job], rows: list[Row]) -> list[Row]:
    """Return `rows` if there is exactly one for each job; else raise an error that names a job."""
    if not isinstance(rows, list):
        raise TypeError(f"work must return a list of rows, got {rows!r}")
    counts = Counter(Job.of(check_row(row)) for row in rows)
    for job in [*jobs, *counts]:
        if counts[job] != (wanted := int(job in jobs)):
            raise ValueError(f"work must return {wanted} rows for {job}, got {counts[job]}")
    return rows


def _results(
    work: Work, batches: Batches, executor: Callable[[], Executor] | None
) -> Generator[tuple[Hashable, Callable[[], list[Row]]], None, None]:
    """For each batch, as it is done, its key and a function that returns its rows or raises its error."""
    if executor is None:
        for key, jobs in batches.items():
            yield key, partial(work, jobs)
        return
    pool, futures, finished = executor(), dict[Future[list[Row]], Hashable](), False
    try:
        for key, jobs in batches.items():
            futures[_submit(pool, work.part(jobs) if hasattr(work, "part") else work, jobs)] = key
        for future in as_completed(futures):
            yield futures[future], future.result
        finished = True
    finally:
        for future in futures:
            future.cancel()
        pool.shutdown(wait=finished)


def _submit(pool: Executor, work: Work, jobs: list[Job]) -> Future[list[Row]]:
    try:
        return pool.submit(work, jobs)
    except BrokenExecutor as error:  # it broke on an earlier batch
        future: Future[list[Row]] = Future()
        future.set_exception(error)
        return future


@contextmanager
def progress_bar(disable: bool | None = False) -> Iterator[Callable[[int, int], object]]:
    """A bar for `progress` of `run_jobs`. `disable` None: only where stderr is a terminal."""
    from tqdm.auto import tqdm

    with tqdm(desc="searches", disable=disable) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def process_executor(count: int) -> Executor:
    """A pool of `count` new Python processes, which end with this one however it ends.

    New ones, not forks: an open SQLite file and the threads of torch do not survive a fork.
    """
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """In a worker: without this it would wait for work forever after a kill -9 of its parent, with its model loaded."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and without a traceback
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def dask_executor(address: str, seconds: float = 30.0) -> Executor:
    """The workers of the Dask scheduler at `address`, such as "tcp://127.0.0.1:8786", if it answers in that time.

    Dask gives the batch of a worker that died to another one, until it has killed four. The workers need this package
    and the module of `work`, and one thread each, as a model is not made for several. Raises ImportError without Dask,
    OSError if no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('Dask is not installed; run: pip install "bavt-minimal[dask]"') from error
    try:
        client = Client(address, timeout=seconds, set_as_default=False)
    except OSError as error:
        raise OSError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with: dask scheduler, and workers with: "
            "dask worker --nthreads 1 ADDRESS"
        ) from error
    # Not pure: else a batch that failed would not be run again, but its old error be returned.
    executor: Executor = client.get_executor(pure=False)
    weakref.finalize(executor, client.close)  # `shutdown` leaves the connection open
    return executor
