"""A defence that looks robust
===========================

Defences that hide the gradient: what attacks report, which indicator fires, and what remains once it is repaired.

A network that rounds its input has a zero gradient, and one that processes it in numpy has none. Attacks that follow
the gradient fail on both, and the robust accuracy that they report is too high (Athalye et al., 2018). `evaluate`
measures that the gradient leads nowhere. With `adapt=True` it attacks again, with the gradient behind the step that
blocks it, and keeps both numbers.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import inputopt
from inputopt.zoo.digits import load_digits

EPS, COUNT, SHOWN = 0.1, 60, 6


class Rounded(nn.Module):
    """Rounds each pixel to one of eight levels (Xu et al., 2018), then classifies."""

    def __init__(self):
        super().__init__()
        self.net = inputopt.load("digits-cnn")

    def forward(self, images):
        return self.net(torch.round(images * 7) / 7)


class LowPass(nn.Module):
    """Removes high frequencies in numpy, then classifies."""

    def __init__(self):
        super().__init__()
        self.net = inputopt.load("digits-cnn")

    def forward(self, images):
        spectrum = np.fft.rfft2(images.detach().numpy())
        low = np.add.outer(np.abs(np.fft.fftfreq(28)), np.fft.rfftfreq(28)) < 0.5
        return self.net(torch.from_numpy(np.fft.irfft2(spectrum * low, s=(28, 28))).to(images))


def measured(name: str, defence: nn.Module, x: Tensor, y: Tensor) -> inputopt.Report:
    """The report with remedies; prints one row, and what the first indicator says."""
    report = inputopt.evaluate(defence, x, y, eps=EPS, preset="quick", adapt=True)
    before, interval = report.robust_accuracy_before_adapting, report.interval_before_adapting
    attacked = (report.robust_accuracy, report.interval) if before is None else (before, interval)
    accuracies = [(report.clean_accuracy, report.clean_interval), attacked, (report.robust_accuracy, report.interval)]
    cells = "".join(f"{f'{share:.0%} ({low:.0%} to {high:.0%})':>22}" for share, (low, high) in accuracies)
    fired = ", ".join(each.id for each in report.indicators) or "none"
    print(f"{name:<12}{cells}  {fired}")
    return report


def picture(x: Tensor, reports: dict[str, inputopt.Report]) -> Figure:
    """Digits of which every defence is fooled after remedies, if there are enough, and below each what fooled it."""
    withstood = torch.stack([report.robust for report in reports.values()]).sum(0)
    candidates = withstood.sort(stable=True).indices[: max(SHOWN, int((withstood == 0).sum()))].sort().values
    chosen = candidates[torch.linspace(0, len(candidates) - 1, SHOWN).long()].tolist()
    figure = Figure(figsize=(SHOWN * 1.2, (1 + len(reports)) * 1.35), layout="constrained")
    grid = figure.subplots(1 + len(reports), SHOWN)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for column, shown in enumerate(chosen):
        grid[0, column].imshow(x[shown, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        for row, report in enumerate(reports.values(), start=1):
            if report.robust[shown]:
                grid[row, column].text(0.5, 0.5, "not fooled", ha="center", va="center")
            else:
                grid[row, column].imshow(report.x[shown, 0].numpy(), cmap="gray", vmin=0, vmax=1)
    for row, label in enumerate(["digits", *reports]):
        grid[row, 0].set_ylabel(label)
    return figure


def main(out: Path) -> None:
    digits = load_digits()
    x, y = digits.held_x[:: 1000 // COUNT][:COUNT], digits.held_y[:: 1000 // COUNT][:COUNT]
    print(f"robust accuracy in Linf {EPS}, {COUNT} digits, preset quick (95 % intervals)\n")
    print(f"{'network':<12}{'clean':>22}{'attacks':>22}{'adapted':>22}  indicators")
    networks = {"plain": inputopt.load("digits-cnn"), "rounded": Rounded(), "low pass": LowPass()}
    reports = {name: measured(name, network, x, y) for name, network in networks.items()}
    for name in ("rounded", "low pass"):
        print(f"\n{name}: {next(each for each in reports[name].indicators if each.applied)}")
    out.mkdir(parents=True, exist_ok=True)
    picture(x, reports).savefig(out / "07_looks_robust.png", dpi=150)
    print(f"wrote {out / '07_looks_robust.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out/demos"), help="folder of the picture (default: %(default)s)"
    )
    main(parser.parse_args().out)
