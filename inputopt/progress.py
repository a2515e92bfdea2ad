"""A progress bar for the `watch=` and `progress=` arguments, in terminals and notebooks."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from inputopt import checks
from inputopt.search.loop import Snapshot
from inputopt.training.train import Progress


class ProgressBar:
    """A callback that advances a tqdm bar at each call; made by `progress_bar`."""

    def __init__(self, title: str, total: int | None) -> None:
        from tqdm.auto import tqdm  # chooses the bar of notebooks by looking for one, so only when a bar is shown

        self._bar = tqdm(total=total, desc=title, leave=True)

    def __call__(self, *reported: Any) -> None:
        """Advance by one step, and show what was reported: unfinished examples, the error, or an attack's name."""
        match reported:
            case (Snapshot() as snapshot,):
                self._bar.set_postfix_str(f"{len(snapshot.ids)} unfinished", refresh=False)
            case (Progress() as progress,):
                self._bar.total = progress.steps
                self._bar.set_postfix_str(f"error {progress.error:.4g}", refresh=False)
                self._bar.update(progress.index - self._bar.n)
                return
            case (str(name), *_):
                self._bar.set_description_str(name, refresh=False)
        self._bar.update(1)

    def close(self) -> None:
        """End the bar; it stays on the screen."""
        self._bar.close()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def progress_bar(title: str = "", total: int | None = None) -> ProgressBar:
    """Return a progress bar to pass as `watch=` or `progress=` to any function of inputopt.

    In a notebook it is a widget if ipywidgets is installed, else text; in a terminal it is text on stderr.

    Args:
        title: text before the bar.
        total: expected number of steps; unknown if not given. `train` states its own.

    Raises:
        TypeError, ValueError: a total that is not a whole number of at least 1.

    Example:
        with inputopt.progress_bar("PGD", total=41) as bar:
            inputopt.attacks.PGD()(net, x, y, watch=bar)
    """
    return ProgressBar(title, None if total is None else checks.whole("total", total))
