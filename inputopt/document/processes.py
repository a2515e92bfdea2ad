"""Work shared out between this process and others."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
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

    An exception or Ctrl-C here drops what has not begun.
    """
    if processes < 2 or len(jobs) < 2:
        return [here(*job) for job in jobs]
    # spawned, not forked: a fork copies locks, and torch's threads hold some
    others = ProcessPoolExecutor(min(processes, len(jobs)) - 1, multiprocessing.get_context("spawn"))
    try:
        promised: list[Future[Found]] = [others.submit(there, *job) for job in reversed(jobs)][::-1]
        return [
            here(*job) if promise.cancel() else promise.result() for job, promise in zip(jobs, promised, strict=True)
        ]
    finally:
        others.shutdown(cancel_futures=True)
