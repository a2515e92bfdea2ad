"""One channel of a network, step by step: by a loop written by hand, by torch-lucent, and what each leaves behind.

Runs in the environment of whoever is measured, so it imports no more than torch; inputopt's own networks are read from
their file, which needs nothing else. What it prints last is read by pictures.py.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

LAYER, CHANNEL, SIZE = 8, 10, 128  # of the network's blocks; pixels
Stamps = list[tuple[float, float]]


def network(weights: str) -> nn.Module:
    """EfficientNet-Lite0 as a user would hand it to a library: in evaluation mode, else as it is."""
    path = Path(__file__).parent.parent / "inputopt" / "nets" / "efficientnet.py"
    described = importlib.util.spec_from_file_location("efficientnet", path)
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    net = module.EfficientNetLite()
    net.load_state_dict(load_file(weights))
    return net.eval()


def stamp() -> tuple[float, float]:
    """Seconds by the clock, and seconds of processor time."""
    return time.perf_counter(), time.process_time()


def bare(net: nn.Module, steps: int) -> Stamps:
    """Weights that stand still, nothing behind the layer, the derivative by the image, and a step along it."""
    net.requires_grad_(False)
    layers = [net.stem, *net.blocks[: LAYER + 1]]
    x = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    stamps = []
    for _ in range(steps):
        stamps.append(stamp())
        x.requires_grad_()
        y = (x * 255 - 127) / 128
        for layer in layers:
            y = layer(y)
        (grad,) = torch.autograd.grad(y[:, CHANNEL].mean(), x)
        x = (x.detach() + 0.01 * grad / grad.abs().mean()).clamp(0, 1)
    return stamps


def lucent(net: nn.Module, steps: int, **settings: Any) -> Stamps:
    """Its own loop, canvas and transforms, as they come; each step asks for the objective once."""
    from lucent.optvis import param, render
    from lucent.optvis.objectives import Objective

    stamps = []

    def channel(hook: Any) -> Tensor:
        stamps.append(stamp())
        return -hook(f"blocks_{LAYER}")[:, CHANNEL].mean()

    def image() -> Any:
        return param.image(SIZE, fft=True, decorrelate=True)

    # the network itself does what `preprocess` would
    quiet = {"progress": False, "show_image": False, "verbose": False, "preprocess": False}
    render.render_vis(net, Objective(channel), image, thresholds=(steps,), **quiet, **settings)
    return stamps


def hooks(*nets: nn.Module) -> int:
    """Forward hooks of any kind on all modules."""
    modules = [module for net in nets for module in net.modules()]
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)


def main(who: str, weights: str, steps: str, threads: str) -> None:
    """Print the stamps of so many steps, and the hooks left after ten renders more."""
    torch.set_num_threads(int(threads))
    net = network(weights)
    if who == "bare as loaded":
        found = {"stamps": bare(net, int(steps))}
    else:
        settings = {"fixed_image_size": SIZE} if who == "lucent at 128" else {}
        stamps, before = lucent(net, int(steps), **settings), hooks(net)
        for _ in range(10):
            lucent(net, 1)
        found = {"stamps": stamps, "hooks": hooks(net) - before}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
