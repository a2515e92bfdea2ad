"""How long a training of the document's network 3b (OR and AND) takes, beside a plain PyTorch loop in the same run.

The contestants take turns, round after round, and each is judged by its quickest round, so that a machine that slows
down or has other work for a while does not decide. Before that, all must end at the same weights. With --whole, the
wall time of the whole document too, from the start of a process to its exit, against the targets.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is imported: threads that wait do not spin

import numpy as np
import torch
from torch import nn

import inputopt

RATE = 0.5
WEIGHTS, BIASES = [[0.2, 0.8], [0.6, 0.4]], [0.5, 0.1]
INPUTS, TARGETS = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 0], [1, 0], [1, 0], [1, 1]]
PLAIN = "PyTorch, plain loop"
ROUND = 1.0  # seconds that one contestant's turn should take at least
WHOLE = {("--method", "backprop"): 10, (): 60}  # arguments of `inputopt reproduce`, and the target in seconds

Trained = tuple[np.ndarray, np.ndarray]  # weights [2, 2] and biases [2] after so many trainings


def plain(trainings: int) -> Trained:
    """As a tutorial writes it: a module, a loss, backward, an optimiser's step."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor(WEIGHTS))
        net[0].bias.copy_(torch.tensor(BIASES))
    inputs, targets = torch.tensor(INPUTS, dtype=torch.float32), torch.tensor(TARGETS, dtype=torch.float32)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
    for _ in range(trainings):
        optimiser.zero_grad()
        loss = 0.5 * (targets - net(inputs)).square().sum(1).mean()
        loss.backward()
        optimiser.step()
    return net[0].weight.detach().numpy(), net[0].bias.detach().numpy()


def by_hand(trainings: int) -> Trained:
    """PyTorch's derivatives, the tensors updated by hand."""
    weight, bias = torch.tensor(WEIGHTS, requires_grad=True), torch.tensor(BIASES, requires_grad=True)
    held = weight.detach(), bias.detach()  # share the memory, and are not watched
    inputs, targets = torch.tensor(INPUTS, dtype=torch.float32), torch.tensor(TARGETS, dtype=torch.float32)
    for _ in range(trainings):
        outputs = torch.sigmoid(torch.addmm(bias, inputs, weight.T))
        cost = nn.functional.mse_loss(outputs, targets, reduction="sum") * (0.5 / len(inputs))
        for value, slope in zip(held, torch.autograd.grad(cost, (weight, bias)), strict=True):
            value.sub_(slope, alpha=RATE)
    return held[0].numpy(), held[1].numpy()


def bare_numpy(trainings: int) -> Trained:
    """The document's formulas for this one network, in float32."""
    weight, bias = np.array(WEIGHTS, np.float32), np.array(BIASES, np.float32)
    inputs, targets = np.array(INPUTS, np.float32), np.array(TARGETS, np.float32)
    one, step = np.float32(1), np.float32(RATE / len(INPUTS))
    for _ in range(trainings):
        outputs = one / (one + np.exp(-(inputs @ weight.T + bias)))
        errors = (outputs - targets) * outputs * (one - outputs) * step
        weight -= errors.T @ inputs
        bias -= errors.sum(0)
    return weight, bias


def by(method: str) -> Callable[[int], Trained]:
    """What users call, its samples and checks included."""

    def contestant(trainings: int) -> Trained:
        net = inputopt.MLP([2, 2], weights=[WEIGHTS], biases=[BIASES])
        inputopt.train(net, INPUTS, TARGETS, learning_rate=RATE, steps=trainings, method=method)
        return net.weights[0].detach().numpy(), net.biases[0].detach().numpy()

    return contestant


CONTESTANTS: dict[str, Callable[[int], Trained]] = {
    PLAIN: plain,
    "PyTorch, tensors updated by hand": by_hand,
    "numpy, bare loop": bare_numpy,
    "inputopt.train, autograd": by("autograd"),
    "inputopt.train, backprop": by("backprop"),
}


def seconds(contestant: Callable[[int], Trained], trainings: int) -> float:
    started = time.perf_counter()
    contestant(trainings)
    return time.perf_counter() - started


def long_enough(contestant: Callable[[int], Trained]) -> int:
    """How many trainings take a round's time: enough that starting up and a training's 50 samples weigh little."""
    trainings = 1_000
    while seconds(contestant, trainings) < ROUND:
        trainings *= 2
    return trainings


def compare(rounds: int) -> None:
    """Print a row a contestant."""
    reference = plain(2_000)
    for name, contestant in CONTESTANTS.items():
        for expected, found in zip(reference, contestant(2_000), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-3, err_msg=name)
    trainings = {name: long_enough(contestant) for name, contestant in CONTESTANTS.items()}
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, contestant in CONTESTANTS.items():
            times[name].append(seconds(contestant, trainings[name]) / trainings[name] * 1e6)
    print(f"Microseconds per update of network 3b, {rounds} interleaved rounds (torch {torch.__version__})\n")
    print(f"{'':<34}{'minimum':>9}{'median':>9}{'updates per round':>19}{'speed-up over plain loop':>25}")
    for name, taken in times.items():
        ratio = min(times[PLAIN]) / min(taken)
        print(f"{name:<34}{min(taken):>9.1f}{median(taken):>9.1f}{trainings[name]:>19,}{ratio:>25.1f}")


def whole() -> None:
    """Print how long each run of the whole document takes."""
    print(f"\n{'whole document, including process start':<50}{'seconds':>9}{'target':>8}{'exit status':>13}")
    for arguments, target in WHOLE.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "inputopt", "reproduce", *arguments, "--out", folder]
            started = time.perf_counter()
            status = subprocess.run(command, cwd=Path(folder), capture_output=True, check=False).returncode
            taken = time.perf_counter() - started
        print(f"{' '.join(['inputopt reproduce', *arguments]):<50}{taken:>9.1f}{target:>8}{status:>13}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (%(default)s)")
    parser.add_argument("--whole", action="store_true", help="run the whole document as well")
    options = parser.parse_args()
    compare(options.rounds)
    if options.whole:
        whole()
