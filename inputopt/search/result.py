"""Result of a search, and functions that combine several results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inputopt.images import are_images, thumbnail
from inputopt.nets.class_names import name_of_class
from inputopt.search.objectives.logits import best_other
from inputopt.search.result_origin import STARTED, bounds_of
from inputopt.search.rows import per_example, take
from inputopt.summaries import Summarised, Summary, settings_text

SHOWN = 8
"""Largest number of inputs that the HTML representation shows."""


@dataclass(frozen=True, repr=False)
class Result(Summarised):
    """The best input found for each example: the best success, or the best failure where `success` is false.

    Attributes:
        x: the inputs found, [B, ...].
        success: whether the goal was reached, bool [B]; for a random network, in more than half of fresh draws.
        distance: distance from x0, [B], in the norm of the search.
        prediction: predicted class of x, int64 [B]; -1 if the network was not run to its last layer.
        logits: logits of x, [B, n].
        loss: the selection score that the search minimised, [B].
        forwards, backwards: number of forward and backward passes for each example, int64 [B].
        nonfinite: whether logits or gradients were non-finite at any step, bool [B]; such points are never kept
            and never count as a success.
        label: the label of each search, int64 [B]: as given, or the network's prediction.
        skipped: examples that were not searched because their target is their label, bool [B].
        success_rate: the fraction of fresh random draws in which the goal is reached, [B]; 0 or 1 for a network that is
            not random.
        made_by: what made the result, as JSON values: "made by" (the attack or function), "norm", "seed", "settings",
            "model" and its "bounds"; of `fool` also "started in target class"; empty for a part of a search.
    """

    x: Tensor
    success: Tensor
    distance: Tensor
    prediction: Tensor
    logits: Tensor
    loss: Tensor
    forwards: Tensor
    backwards: Tensor
    nonfinite: Tensor
    label: Tensor
    skipped: Tensor
    success_rate: Tensor
    made_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def median_distance(self) -> float:
        """Median distance of the successes; NaN if there is none."""
        found = self.distance[self.success].double()
        return float(found.median()) if len(found) else float("nan")

    def save(self, folder: str | Path, names: Sequence[str | Path] | None = None) -> list[Path]:
        """Write the inputs found, and `result.json` with what made them and the outcome of each example.

        Images [B, C, H, W] become one 8-bit PNG each, other inputs one `x.npz` with x, success, distance, prediction
        and label. Rounding to 8 bits can undo a success: attacks with `levels=256` find
        inputs that a PNG holds exactly.

        Args:
            folder: where to write; it is made if needed.
            names: names of the examples, such as those of their files, "3/00012.jpg"; the suffix is replaced by .png,
                and subfolders are kept. Numbers if not given.

        Returns:
            The paths of all files written.

        Raises:
            ValueError: names that are not one per example, not unique, or outside the folder.
            FileError: the folder cannot be written to.
        """
        from inputopt.search.result_files import save_result  # it imports this module

        return save_result(self, folder, names)

    def _summary(self, images: bool) -> Summary:
        count, succeeded = len(self.x), int(self.success.sum())
        facts = [("", f"{succeeded} of {count} succeeded ({100 * succeeded / max(1, count):.1f} %)")]
        if bool(self.skipped.any()):
            facts.append(("", f"{int(self.skipped.sum())} skipped"))
        if self.made_by.get(STARTED):
            facts.append(("", f"{self.made_by[STARTED]} of the target class before the first step"))
        if succeeded:
            norm = f" ({self.made_by['norm']})" if "norm" in self.made_by else ""
            of_these = "median distance" if succeeded == count else "median distance of these"
            facts.append((of_these, f"{self.median_distance:.4g}{norm}"))
        for name in COUNTS:
            facts.append((f"{name} per example", f"{float(getattr(self, name).double().mean()):.1f}"))
        facts.append(("x", str(list(self.x.shape))))
        details = []
        if "made by" in self.made_by:
            facts.append(("made by", self.made_by["made by"]))
            details = [("settings", settings_text(self.made_by["settings"])), ("model", self.made_by["model"])]
        return Summary("Result", facts, details, images=self._thumbnails() if images else [])

    def _thumbnails(self) -> list[tuple[str, str]]:
        bounds = bounds_of(self.made_by)
        if bounds is None or not are_images(self.x, bounds):
            return []
        shown = zip(self.x[:SHOWN], self.label.tolist(), self.prediction.tolist(), strict=False)
        return [(thumbnail(x, bounds), self._caption(label, prediction)) for x, label, prediction in shown]

    def _caption(self, label: int, prediction: int) -> str:
        named = [name_of_class(each, self.logits.shape[1]) for each in (label, prediction)]
        return f"label {named[0]}, predicted {named[1]}"


Better = Callable[[Result, Result], Tensor]
"""(new, old) -> where the new result is better, bool [B]."""

COUNTS = ("forwards", "backwards")
"""Cumulative fields: all searches of a call share one `QueryCounter`, so later counts include earlier ones."""


def concatenated(results: list[Result]) -> Result:
    """Concatenate the examples of several results."""
    columns: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in results]) for name in _field_names()}
    return Result(**columns, made_by=results[0].made_by)


def best_of(old: Result, new: Result, better: Better) -> Result:
    """Merge two searches of the same examples: the better result of each example, with the query counts of merged."""
    take_new = better(new, old)
    columns: dict[str, Any] = {
        name: torch.where(per_example(take_new, getattr(old, name)), getattr(new, name), getattr(old, name))
        for name in _field_names()
    }
    columns["nonfinite"] = old.nonfinite | new.nonfinite
    for name in COUNTS:
        columns[name] = torch.maximum(getattr(old, name), getattr(new, name))
    return Result(**columns, made_by=old.made_by)


def best_restart(found: Result, restarts: int, better: Better) -> Result:
    """The best restart of each example, with the query counts of all; each restart is one block of consecutive rows."""
    if restarts == 1:
        return found
    blocks = torch.arange(len(found.loss), device=found.loss.device).reshape(restarts, -1)
    return functools.reduce(lambda old, new: best_of(old, new, better), (take(found, block) for block in blocks))


def scatter(whole: Result, rows: Tensor, part: Result, better: Better) -> Result:
    """Merge a further search `part` of the examples `rows` (indices, int64) into `whole`; see `best_of`."""
    merged = best_of(take(whole, rows), part, better)
    columns: dict[str, Any] = {
        name: getattr(whole, name).index_copy(0, rows, getattr(merged, name)) for name in _field_names()
    }
    return Result(**columns, made_by=whole.made_by)


def lower_loss(new: Result, old: Result) -> Tensor:
    """Success is better than failure; otherwise the lower loss is better."""
    return torch.where(new.success == old.success, new.loss < old.loss, new.success)


def smaller_margin(new: Result, old: Result) -> Tensor:
    """Success is better than failure; then the larger `top_two_difference` for successes, the smaller for failures.

    For searches with different targets, whose losses are not comparable.
    """
    ahead, before = top_two_difference(new), top_two_difference(old)
    better_lead = torch.where(old.success, ahead > before, ahead < before)
    return torch.where(new.success == old.success, better_lead, new.success)


def nearer(new: Result, old: Result) -> Tensor:
    """Success is better than failure; then the smaller distance, or for failures the smaller `top_two_difference`."""
    closer = torch.where(old.success, new.distance < old.distance, top_two_difference(new) < top_two_difference(old))
    return torch.where(new.success == old.success, closer, new.success)


def top_two_difference(found: Result) -> Tensor:
    """Difference between the highest and the second highest logit, [B]."""
    return found.logits.amax(1) - best_other(found.logits, found.logits.argmax(1))


def failures_at_infinity(found: Result) -> Result:
    """Set the distance of failures to infinity, for minimal-norm searches."""
    return replace(found, distance=found.distance.masked_fill(~found.success, torch.inf))


def _field_names() -> list[str]:
    """Names of the fields with a value per example."""
    return [each.name for each in fields(Result) if each.name != "made_by"]
