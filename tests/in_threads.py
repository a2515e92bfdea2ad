"""Jobs in threads of their own, which cannot hang the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

PATIENCE = 120.0
"""Seconds after which threads are taken to wait for each other."""


def at_once(jobs: Mapping[str, Callable[[], object]], times: int = 1) -> list[str]:
    """Run the jobs at once, each so many times over; returns what they raised, and which of them never ended."""
    errors: list[str] = []

    def repeat(name: str, job: Callable[[], object]) -> None:
        for _ in range(times):
            try:
                job()
            except BaseException as error:  # all of it is reported
                errors.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=repeat, args=each, name=each[0], daemon=True) for each in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return errors + [f"{thread.name}: never ended" for thread in threads if thread.is_alive()]
