"""The dream that people write by hand: a hook, the whole forward, weight gradients; chance as inputopt draws it."""

import torch
from torch import Tensor
from torch.nn import functional

from inputopt.search import keyed_random

LAYER = "blocks.8"
OCTAVES, SCALE, STEPS, SIZE, JITTER = 4, 1.8, 10, 0.01, 32


def plain(photo: Tensor, net: torch.nn.Module, seed: int) -> Tensor:
    """The usual loop: a hook, the whole forward, `backward()` into the weights as well."""
    held: list[Tensor] = []
    handle = net.get_submodule(LAYER).register_forward_hook(lambda module, inputs, output: held.append(output))
    detail = torch.zeros_like(photo)
    size = list(photo.shape[2:])
    ids = torch.zeros(1, dtype=torch.int64)
    for power in reversed(range(OCTAVES)):
        here = [round(side * SCALE**-power) for side in size]
        small, detail = (
            each
            if list(each.shape[2:]) == here
            else functional.interpolate(each, here, mode="bilinear", antialias=True)
            for each in (photo, detail)
        )
        x = small + detail
        jitter = min(JITTER, min(here) // 8)  # drawn as inputopt draws it, so that both search alike
        for index in range(STEPS):
            down, right = (
                (keyed_random.uniform((2,), seed, ids, index)[0] * (2 * jitter + 1)).long() - jitter
            ).tolist()
            x = x.detach().requires_grad_()
            net.zero_grad()
            held.clear()
            net(x.roll((down, right), (2, 3)))
            held[0].square().mean().backward()
            x = (x.detach() + SIZE * x.grad / x.grad.abs().mean()).clamp(0, 1)
        detail = x - small
    handle.remove()
    return x
