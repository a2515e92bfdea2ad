"""Attacks in the form in which AttackBench (Cina et al., 2025) calls them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from inputopt.attacks.attack import Attack
from inputopt.attacks.minimal_norm.minimal_norm_attack import MinimalNormAttack
from inputopt.nets.frozen import Frozen
from inputopt.nets.inference.modes import borrowed

AttackBenchFunction = Callable[..., Tensor]
"""(model, inputs, labels, targets=None, targeted=False) -> adversarial inputs, all [B, ...] or [B]."""


def as_attackbench(attack: Attack | MinimalNormAttack, seed: int = 0) -> AttackBenchFunction:
    """Return the attack as a function that AttackBench (Cina et al., 2025) can run.

    The function is `(model, inputs, labels, targets=None, targeted=False) -> Tensor`: inputs [B, ...] in [0, 1], labels
    and targets int64 [B] (or one target for all), and it returns the adversarial inputs [B, ...], unperturbed where the
    attack failed. The model itself is run, in evaluation mode, and not a private copy, so that AttackBench can count
    its queries; examples that are finished are dropped from the batch.

    Args:
        attack: the attack with its settings.
        seed: random seed.

    Returns:
        The function.

    Raises:
        TypeError: not an attack.
    """
    if not isinstance(attack, (Attack, MinimalNormAttack)):
        kind = type(attack).__name__
        raise TypeError(f"attack must be an attack with its settings, such as PGD(eps=0.1), not {kind}.")

    def run(
        model: nn.Module | Callable[[Tensor], Any],
        inputs: Tensor,
        labels: Tensor,
        targets: Tensor | int | None = None,
        targeted: bool = False,
    ) -> Tensor:
        """Perturb the inputs [B, ...] until they are misclassified, or if `targeted` classified as `targets`."""
        if targeted and targets is None:
            raise ValueError("targeted needs targets; give the target classes, one number or [B].")
        with borrowed(model) if isinstance(model, nn.Module) else nullcontext():
            found = attack(Frozen(lambda x: model(x)), inputs, labels, targets if targeted else None, seed=seed)
        succeeded = found.success.reshape(-1, *(1,) * (inputs.ndim - 1)).to(inputs.device)
        return torch.where(succeeded, found.x.to(inputs), inputs.detach())

    return run
