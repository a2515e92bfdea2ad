"""The networks in plain PyTorch, PGD with nothing around it, and one stopwatch and one judge for every attack.

Imports no attack library, so that it can be imported in every environment.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WARM_UP = 8  # examples
LEAST = 1.0  # seconds that the timed runs of one process take together
SLACK = 1e-5  # part of eps that rounding may add

Work = dict[str, Any]


class CNN(nn.Module):
    """The network of digits-cnn and digits-cnn-robust."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 4, 2, 1), nn.Conv2d(16, 32, 4, 2, 1)
        self.linear1, self.linear2 = nn.Linear(1568, 100), nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.linear2(torch.relu(self.linear1(x.flatten(1))))


class MLP(nn.Module):
    """The network of digits-mlp."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(784, 128), nn.Linear(128, 10)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](torch.relu(self.layers[0](x.flatten(1))))


class Counted(nn.Module):
    """A network that counts the examples it is run on, each way."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        outputs = self.net(x)
        if outputs.requires_grad:
            outputs.register_hook(self._backward)
        return outputs

    def _backward(self, grad: Tensor) -> None:
        self.backwards += len(grad)


class Counts(Protocol):
    """What counts the examples that it ran."""

    forwards: int
    backwards: int


def network(work: Work) -> nn.Module:
    """The network that is attacked, as a user would hand it to a library: in evaluation mode, else as it is."""
    net = MLP() if work["network"] == "digits-mlp" else CNN()
    net.load_state_dict(load_file(Path(work["folder"]) / f"{work['network']}.safetensors"))
    return net.eval()


def digits(work: Work) -> tuple[Tensor, Tensor]:
    """The inputs and their classes."""
    with np.load(Path(work["folder"]) / "digits.npz") as held:
        return torch.from_numpy(held["x"][: work["count"]]), torch.from_numpy(held["y"][: work["count"]])


def measured(work: Work, model: Counts, attack: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Any]:
    """Warm up, time, count and judge an attack on `model`: (x, y) -> the inputs it found.

    What lasts less than a second is run again until a second is full, and its median counts.
    """
    x, y = digits(work)
    attack(x[:WARM_UP], y[:WARM_UP])
    forwards, backwards = model.forwards, model.backwards
    moved, taken = x, []
    while sum(taken) < LEAST:
        started = time.perf_counter()
        moved = attack(x, y)
        taken.append(time.perf_counter() - started)
    robust, furthest = judged(work, x, y, moved)
    return {
        "robust": robust,
        "furthest": furthest,
        "seconds": median(taken),
        "runs": len(taken),
        "forwards": (model.forwards - forwards) / len(taken) / len(x),
        "backwards": (model.backwards - backwards) / len(taken) / len(x),
    }


def judged(work: Work, x: Tensor, y: Tensor, moved: Tensor) -> tuple[float, float]:
    """Robust accuracy, and how far away the furthest input is that counts as fooled.

    Only what lies in the ball and in [0, 1] counts, and what was classified wrongly from the start is not robust.
    """
    net, change = network(work), (moved - x).flatten(1).double()
    distance = change.abs().amax(1) if work["norm"] == "linf" else torch.linalg.vector_norm(change, dim=1)
    inside = distance <= work["eps"] * (1 + SLACK)
    inside &= ((moved >= -1e-6) & (moved <= 1 + 1e-6)).flatten(1).all(1)
    with torch.no_grad():
        fooled = inside & (net(moved).argmax(1) != y)
        robust = (net(x).argmax(1) == y) & ~fooled
    return float(robust.double().mean()), float(distance[fooled].max()) if bool(fooled.any()) else 0.0


def pgd(net: nn.Module, work: Work) -> Callable[[Tensor, Tensor], Tensor]:
    """Linf PGD as its formula has it: every example to the last step, and nothing kept but the last."""
    net.requires_grad_(False)

    def attack(x: Tensor, y: Tensor) -> Tensor:
        low, high = (x - work["eps"]).clamp(0, 1), (x + work["eps"]).clamp(0, 1)
        generator = torch.Generator().manual_seed(0)
        z = (x + work["eps"] * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
        for _ in range(work["steps"]):
            z = step(net, z, y, low, high, work["step"])
        return z

    return attack


def pgd_at(net: nn.Module, work: Work) -> Callable[[Tensor, Tensor], Tensor]:
    """The same steps at given batch sizes: a list for each chunk of our run; the last point is only scored."""
    net.requires_grad_(False)
    batches: Sequence[Sequence[int]] = work["batches"]

    def attack(x: Tensor, y: Tensor) -> Tensor:
        low, high = (x - work["eps"]).clamp(0, 1), (x + work["eps"]).clamp(0, 1)
        for chunk in batches:
            z, *_ = parts = [tensor[: chunk[0]] for tensor in (x, low, high, y)]
            for size in chunk[:-1]:
                z, down, up, label = (tensor[:size] for tensor in (z, *parts[1:]))
                z = step(net, z, label, down, up, work["step"])
            nn.functional.cross_entropy(net(z[: chunk[-1]].requires_grad_()), parts[3][: chunk[-1]])
        return x

    return attack


def step(net: nn.Module, z: Tensor, y: Tensor, low: Tensor, high: Tensor, length: float) -> Tensor:
    """One forward, one backward, one step of the sign."""
    z = z.detach().requires_grad_()
    loss = nn.functional.cross_entropy(net(z), y, reduction="sum")
    grad = torch.autograd.grad(loss, z)[0]
    return torch.minimum(torch.maximum(z.detach() + length * grad.sign(), low), high)


def tell(found: dict[str, Any]) -> None:
    """Print what the driver reads, as the last line."""
    print(json.dumps(found), flush=True)
