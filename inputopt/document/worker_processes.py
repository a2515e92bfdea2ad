"""Work shared out between this process and others."""

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


def shared_out(
    here: Callable[..., Found], there: Callable[..., Found], jobs: Sequence[Job], processes: int
) -> list[Found]:
    """The result of each job; whoever is free takes the next one.

    Args:
        here: job -> result, in this process, which takes the longest jobs first.
        there: the same in another process, to which it is sent by name; others take the shortest jobs first.
        jobs: arguments, the longest job first.
        processes: how many at most, this one included.

    An exception or Ctrl-C here ends the other processes, which do not hear Ctrl-C themselves.
    """
    if processes < 2 or len(jobs) < 2:
        return [here(*job) for job in jobs]
    # spawned, not forked: a fork copies locks, and torch's threads hold some
    others = ProcessPoolExecutor(min(processes, len(jobs)) - 1, multiprocessing.get_context("spawn"))
    try:
        with _deaf_to_interrupts():  # a process that begins here is so for good
            promised: list[Future[Found]] = [others.submit(there, *job) for job in reversed(jobs)][::-1]
        return [
            here(*job) if promise.cancel() else promise.result() for job, promise in zip(jobs, promised, strict=True)
        ]
    except BaseException:
        for process in list(others._processes.values()):  # the executor itself would wait for what they are at
            process.terminate()
        raise
    finally:
        others.shutdown(cancel_futures=True)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Inside, Ctrl-C waits in this thread; a process that is begun inside never gets one, and prints no traceback."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
