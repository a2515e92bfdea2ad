"""What a page is made from besides the report: the network, the inputs and class names, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_page.nearest_distances import QUERIES
from inputopt.evaluation.robustness_curve import RobustnessCurve
from inputopt.evaluation.run_environment import tensor_hash
from inputopt.nets.frozen import Frozen, frozen
from inputopt.search.inputs import Inputs, float_tensor

LEAST, MOST = 10, 100
"""Inputs whose minimal distances are measured for the curve, if the caller gives no number."""

BUDGET = 4e12
"""Floating-point operations of forwards for the curve: a minute or two on a few processor cores."""

CHECKED = 64
"""Number of final inputs that a network with other weights must classify as the report says."""


@dataclass(frozen=True)
class PageRequest:
    """What a page shows besides the report.

    Attributes:
        net, x0: the network and the evaluated inputs [B, ...]; None if they are not given.
        class_names: names of the classes, by index; those without a name are numbered.
        curve: a curve that was measured before.
        curve_examples: number of inputs whose minimal distances are measured if there is no curve; 0 for none.
        examples: number of fragile examples.
        title: name of the model; None for the recorded one.
        inputs: name of each input; empty if they are numbered.
    """

    net: Frozen | None
    x0: Tensor | None
    class_names: Sequence[str]
    curve: RobustnessCurve | None
    curve_examples: int
    examples: int
    title: str | None = None
    inputs: Sequence[str] = ()

    def input_name(self, position: int) -> str:
        """The name of an input, or its position."""
        return self.inputs[position] if self.inputs else str(position)

    def name_of(self, label: int) -> str:
        """The name of a class, or its number."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)


def checked_request(
    report: Report,
    model: Frozen | nn.Module | Callable[[Tensor], Any] | None,
    x: Inputs | None,
    class_names: Sequence[str] | None,
    curve: RobustnessCurve | None,
    curve_examples: int | None,
    examples: int,
    title: str | None = None,
    inputs: Sequence[str | Path] | None = None,
) -> PageRequest:
    """Check the arguments of `Report.save_html`.

    Raises:
        ValueError, TypeError: model or inputs are not those of the report, only one of both is given, or the curve is
            measured in another norm.
    """
    names = tuple(str(name) for name in class_names or ())
    named = tuple(str(name) for name in inputs or ())
    if inputs is not None and len(named) != len(report.x):
        raise ValueError(f"names must hold {len(report.x)} names, one per input, not {len(named)}.")
    examples = checks.whole("examples", examples, least=0)
    wanted_examples = None if curve_examples is None else checks.whole("curve_examples", curve_examples, least=0)
    if curve is not None and curve.norm != report.settings.get("norm", curve.norm):
        raise ValueError(
            f"The curve is in {curve.norm}, but the report in {report.settings['norm']}; measure it in the same norm."
        )
    if (model is None) != (x is None):
        raise ValueError("Give both model and x, or neither: examples are shown with what the model predicts.")
    if model is None or x is None:
        return PageRequest(None, None, names, curve, 0, examples, title, named)
    net = frozen(model)
    x0 = float_tensor("x", x, net)
    wanted = report.settings.get("hashes", {}).get("x")
    if x0.shape != report.x.shape or (wanted is not None and tensor_hash(x0.to(report.x)) != wanted):
        raise ValueError("x must be the inputs that were evaluated, all of them and in the same order.")
    if not _is_evaluated(net, report):
        raise ValueError("model has other weights than the model of this report; give the one that was evaluated.")
    if wanted_examples is None:
        wanted_examples = affordable_examples(net.operations(x0[:1]))
    return PageRequest(net, x0.to(report.x), names, curve, wanted_examples, examples, title, named)


def affordable_examples(operations: float) -> int:
    """Number of inputs for the curve, for a network with so many operations per forward.

    >>> affordable_examples(1e6), affordable_examples(8e8)
    (100, 16)
    """
    return MOST if operations == 0 else max(LEAST, min(MOST, int(BUDGET / (QUERIES * operations))))


@torch.no_grad()
def _is_evaluated(net: Frozen, report: Report) -> bool:
    """Whether the network is that of the report, by its weights or by what it predicts.

    Buffers of a network with a state have changed since, and such networks and random ones may predict otherwise.
    """
    x = report.x[:CHECKED]
    prediction = net(x).argmax(1)  # the model's own errors come before any work
    if "model" not in report.settings or report.label is None:
        return True
    if net.described()["weights"] == report.settings["model"].get("weights"):
        return True
    changing = {"random_network", "stateful_network"} & {each.id for each in report.indicators}
    return bool(changing) or torch.equal(prediction == report.label[:CHECKED], report.robust[:CHECKED])
