"""Jobs distributed over this process and worker processes."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Job = tuple[Any, ...]
Found = TypeVar("Found")


def map_in_processes(
    here: Callable[..., Found], there: Callable[..., Found], jobs: Sequence[Job], processes: int
) -> list[Found]:
    """Run jobs in several processes and return the result of each; a free process takes the next job.

    Args:
        here: function for jobs in this process, which takes the longest jobs first.
        there: function for jobs in worker processes, pickled by name; workers take the shortest jobs first.
        jobs: arguments of each job, the longest job first.
        processes: maximum number of processes, including this one.

    An exception or Ctrl-C in this process terminates the workers, which do not receive Ctrl-C themselves.
    """
    if processes < 2 or len(jobs) < 2:
        return [here(*job) for job in jobs]
    # spawn, not fork: a fork copies locks that torch's threads may hold
    others = ProcessPoolExecutor(min(processes, len(jobs)) - 1, multiprocessing.get_context("spawn"))
    try:
        with _interrupts_blocked():  # workers started here inherit this for good
            promised: list[Future[Found]] = [others.submit(there, *job) for job in reversed(jobs)][::-1]
        return [
            here(*job) if promise.cancel() else promise.result() for job, promise in zip(jobs, promised, strict=True)
        ]
    except BaseException:
        for process in list(others._processes.values()):  # shutdown would wait for running jobs
            process.terminate()
        raise
    finally:
        others.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Defer Ctrl-C in this thread; processes started inside the block never receive it, and print no traceback."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
