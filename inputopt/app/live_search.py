"""Runs a search in a worker thread and yields its steps as frames, at a bounded rate, until it ends or is stopped."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from inputopt.search.loop import Interrupted

FPS = 15.0
"""Largest number of frames per second."""

WAIT = 10.0
"""Seconds that a new search waits for the previous one of its session, which stops at its next step."""

Watch = Callable[[Any], None]


@dataclass(frozen=True)
class Frame:
    """One shown step: what `show` made of it, the number of steps so far, and the frames per second so far."""

    shown: Any
    steps: int
    fps: float


@dataclass(frozen=True)
class Ended:
    """The end of a search.

    Attributes:
        result: what the search returned; if it was stopped, its result so far, or None if there is none.
        stopped: whether it was stopped before its end.
        steps: number of steps.
        fps: frames per second.
        seconds: duration.
    """

    result: Any
    stopped: bool
    steps: int
    fps: float
    seconds: float


class Search:
    """A search in a worker thread.

    Args:
        run: (watch) -> result. It must call `watch` at every step; from there a stopped search is interrupted as by
            Ctrl-C.
        show: what to make of a step, called in the worker for those steps that become frames, so that it may read
            what the next step overwrites.
        slow: wait at every step until its frame is due, so that every step is shown.
        fps: largest number of frames per second.
    """

    def __init__(self, run: Callable[[Watch], Any], show: Callable[[Any], Any], slow: bool, fps: float = FPS) -> None:
        self._run, self._show, self._slow, self._pause = run, show, slow, 1 / fps
        self._stop = threading.Event()
        self._queue: queue.SimpleQueue[Frame | Ended | Exception] = queue.SimpleQueue()
        self._steps = self._shown = 0
        self._due = self._started = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="inputopt search", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._due = self._started = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Interrupt the search at its next step."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the worker to end, for at most `seconds`.

        Raises:
            ValueError: it is still running.
        """
        self._thread.join(seconds)
        if self.running:
            raise ValueError("The previous search has not stopped yet; try again in a few seconds.")

    @property
    def running(self) -> bool:
        """Whether the worker is running."""
        return self._thread.is_alive()

    def frames(self) -> Iterator[Frame | Ended]:
        """The newest frame whenever there is one (if slow, every frame), and at last the end.

        A reader that leaves early stops the search.

        Raises:
            Exception: what the search raised.
        """
        try:
            while True:
                item = self._queue.get()
                while isinstance(item, Frame) and not self._slow and not self._queue.empty():
                    item = self._queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, Ended):
                    return
        finally:
            self.stop()

    def _watch(self, step: Any) -> None:
        self._steps += 1
        wait = self._due - time.monotonic()
        if self._stop.wait(wait) if self._slow and wait > 0 else self._stop.is_set():
            raise KeyboardInterrupt
        if wait > 0 and not self._slow:
            return
        self._due = max(self._due + self._pause, time.monotonic())
        self._shown += 1
        self._queue.put(Frame(self._show(step), self._steps, self._rate()))

    def _rate(self) -> float:
        return self._shown / max(time.monotonic() - self._started, self._pause)

    def _work(self) -> None:
        try:
            self._queue.put(self._ended(self._run(self._watch), self._stop.is_set()))
        except Interrupted as stopped:
            self._queue.put(self._ended(stopped.pictures[0] if stopped.pictures else stopped.result, True))
        except KeyboardInterrupt:  # before the first evaluation
            self._queue.put(self._ended(None, True))
        except Exception as error:
            self._queue.put(error)

    def _ended(self, result: Any, stopped: bool) -> Ended:
        return Ended(result, stopped, self._steps, self._rate(), time.monotonic() - self._started)


class Session:
    """The running search of one tab of one user. A deep copy is a new session: Gradio copies a state for each user.

    Attributes:
        chosen: the image that was chosen last, in the tab that has one; it is known before the page shows it.
        newest: the run that began last.
    """

    def __init__(self, chosen: Any = None) -> None:
        self.chosen = chosen
        self.newest: Run | None = None
        self._lock = threading.Lock()
        self._search: Search | None = None

    def __deepcopy__(self, memo: Any) -> Session:
        return Session(self.chosen)

    @property
    def running(self) -> bool:
        """Whether a search is running."""
        search = self._search
        return search is not None and search.running

    def begin(self) -> Run:
        """A new run, which replaces those that began before."""
        self.newest = run = Run(self)
        return run

    def stop(self) -> None:
        """Stop the running search, if there is one."""
        search = self._search
        if search is not None:
            search.stop()

    def start(self, run: Run, search: Search) -> bool:
        """Start a search after stopping the previous one, unless a later run than `run` has begun; say whether.

        Raises:
            ValueError: the previous search does not stop.
        """
        with self._lock:
            if self.newest is not run:
                return False
            if self._search is not None:
                self._search.stop()
                self._search.join(WAIT)
            self._search = search
            search.start()
            return True

    def clear(self) -> Run:
        """End the run, wait until it has changed the page for the last time, and return one in its place."""
        last, here = self.newest, self.begin()
        self.stop()
        here.ended.set()
        if last is not None:
            last.ended.wait(WAIT)
        return here


class Run:
    """What one press of a button runs in a session, until it ends or a later run replaces it.

    Attributes:
        session: the session.
        ended: set when the run does not change the page any more.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ended = threading.Event()

    @property
    def replaced(self) -> bool:
        """Whether a later run has begun."""
        return self.session.newest is not self

    def live(
        self, run: Callable[[Watch], Any], show: Callable[[Any], Any], slow: bool = False, fps: float = FPS
    ) -> Iterator[Frame | Ended]:
        """Run a search and yield its frames; a search of the session that is still running is stopped first.

        Args:
            run, show, slow, fps: as for `Search`.

        Raises:
            ValueError: the previous search does not stop.
            Exception: what the search raised.
        """
        search = Search(run, show, slow, fps)
        if self.session.start(self, search):
            yield from search.frames()
        else:
            yield Ended(None, True, 0, 0.0, 0.0)
