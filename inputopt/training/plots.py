"""Plots of training histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from inputopt.files import blank_figure
from inputopt.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_errors(histories: Mapping[str, History], title: str = "Error over time") -> Figure:
    """Plot the error of each training run against the update index, on logarithmic axes."""
    figure = blank_figure(figsize=(8, 4.5))
    axes = figure.add_subplot(title=title, xlabel="training", ylabel="error (norm of target - output)")
    for name, history in histories.items():
        axes.loglog(*history.curve[:, :2].T, label=name)
    axes.legend()
    return figure


def plot_held_out(history: History, errors: Mapping[int, Mapping[str, float]]) -> Figure:
    """Plot the error of a training run, the shares of misclassified training and held-out examples, and gradients.

    The gradient norms of the layers are plotted as in `plot_history`.

    Args:
        history: the training run.
        errors: by number of updates, the shares "training" and "held_out" that are misclassified.
    """
    figure = blank_figure(figsize=(13, 3.6), layout="constrained")
    figure.suptitle(f"{history.trainings:,} updates: {history.stopped}", fontsize=10)
    axes = figure.add_subplot(1, 3, 1, xlabel="update", ylabel="training error (norm of target - output)")
    axes.loglog(*history.curve[:, :2].T)
    axes = figure.add_subplot(1, 3, 2, xlabel="update", ylabel="misclassified", ylim=(0, None))
    updates = sorted(errors)
    for name, label in (("training", "training data"), ("held_out", "held-out data")):
        axes.plot(updates, [errors[update][name] for update in updates], label=label)
    axes.legend()
    _draw_norms(figure.add_subplot(1, 3, 3, xlabel="update", ylabel="gradient norm of a layer"), history)
    return figure


def plot_history(history: History) -> Figure:
    """Plot error and cost of one training run against the number of the update, on logarithmic axes, and gradients.

    In full-batch training the points of error and cost are evenly spaced on the logarithmic axis. For networks of
    several layers the gradient norms of the layers are plotted too, against a linear axis, on which the samples are
    evenly spaced.
    """
    several = len(history.layers) > 1
    figure = blank_figure(figsize=(13 if several else 9, 3.6), layout="constrained")
    figure.suptitle(f"{history.trainings:,} updates: {history.stopped}", fontsize=10)
    panels = 3 if several else 2
    updates, *values = history.curve.T
    labels = ("error (norm of target - output)", "cost (mean over the examples)")
    for position, (value, label) in enumerate(zip(values, labels, strict=True), start=1):
        axes = figure.add_subplot(1, panels, position, xlabel="update", ylabel=label)
        axes.loglog(updates, value)
    if several:
        axes = figure.add_subplot(1, panels, panels, xlabel="update", ylabel="gradient norm of a layer")
        _draw_norms(axes, history)
    return figure


def plot_gradient_sizes(histories: Mapping[str, History], title: str = "Gradient size, layer by layer") -> Figure:
    """Plot each layer's gradient norm against the update index, one panel per network."""
    figure = blank_figure(figsize=(4 * len(histories), 3.4), layout="constrained")
    figure.suptitle(title)
    first = None
    for position, (name, history) in enumerate(histories.items()):
        first = axes = figure.add_subplot(1, len(histories), position + 1, sharey=first)
        _draw_norms(axes, history)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("training")
        axes.set_ylabel("gradient norm")
    return figure


def _draw_norms(axes: Axes, history: History) -> None:
    """Draw each layer's gradient norm against the number of the update + 1; layers near the input are darker."""
    import matplotlib  # slow to load, so only when needed, as in blank_figure

    shades = matplotlib.colormaps["viridis"]
    for layer, norms in enumerate(history.gradient_norms.T):
        shade = shades(layer / max(1, len(history.layers) - 1) * 0.9)
        axes.semilogy(history.index + 1, norms, color=shade, label=f"layer {layer + 1}")
    axes.legend(fontsize=7)
