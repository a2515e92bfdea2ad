"""Tensor operations and waits of a step while nobody is fooled: what stands for a GPU's launches, counted on a CPU.

`python benchmarks/launches.py` prints a table of every attack on the robust digits CNN, counted twice: as a CPU runs
it, and as a GPU would (`as_if_asynchronous`), where the host never looks at values. Per step: the difference between
runs of 20 and 30 steps. Views count as operations, as a dispatch mode sees them.
"""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import inputopt
from inputopt.search.host_sync import as_if_asynchronous
from inputopt.zoo.digits import load_digits

A = inputopt.attacks
NETWORK = "digits-cnn-robust"
EXAMPLES = 40
TINY = {"l0": 0.0, "l1": 1e-6, "l2": 1e-6, "linf": 1e-6}  # nobody is fooled
FEW, MORE = 20, 30
WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::masked_select"}

ATTACKS: dict[str, Callable[[int], Any]] = {
    **{f"PGD {norm}": lambda steps, norm=norm: A.PGD(norm, TINY[norm], steps=steps) for norm in TINY},
    "BIM linf": lambda steps: A.BIM(eps=1e-6, steps=steps),
    "MI-FGSM linf": lambda steps: A.MIFGSM(eps=1e-6, steps=steps),
    "NI-FGSM linf": lambda steps: A.NIFGSM(eps=1e-6, steps=steps),
    "APGD linf": lambda steps: A.APGD(eps=1e-6, steps=steps),
    "APGD l2": lambda steps: A.APGD("l2", 1e-6, steps=steps),
    "APGD l1": lambda steps: A.APGD("l1", 1e-6, steps=steps, enlarged_radii=()),
    "Square linf": lambda steps: A.Square(eps=1e-6, steps=steps),
    "Square l2": lambda steps: A.Square("l2", 1e-6, steps=steps),
    "DDN l2": lambda steps: A.DDN(steps=steps),
    **{f"FMN {norm}": lambda steps, norm=norm: A.FMN(norm, steps=steps) for norm in TINY},
    "C&W l2": lambda steps: A.CarliniWagner(steps=10 * steps, rounds=10),
    "EAD l1": lambda steps: A.EAD(steps=10 * steps, rounds=10),
    "ALMA l1": lambda steps: A.ALMA("l1", steps=steps),
    "ALMA l2": lambda steps: A.ALMA("l2", steps=steps),
    "PDGD l2": lambda steps: A.PDGD(steps=steps),
    **{f"PDPGD {norm}": lambda steps, norm=norm: A.PDPGD(norm, steps=steps) for norm in TINY},
    "sigma-zero l0": lambda steps: A.SigmaZero(steps=steps),
    "JSMA l0": lambda steps: A.JSMA(steps=steps),
    **{f"FAB {norm}": lambda steps, norm=norm: A.FAB(norm, steps=steps) for norm in ("l1", "l2", "linf")},
    "DeepFool l2": lambda steps: A.DeepFool(steps=steps),
    "trust region l2": lambda steps: A.TrustRegion(steps=steps),
}
TARGETS = {"PGD linf": 55, "DDN l2": 90, "FMN l2": 100}
"""Operations a step on a CPU; and no waits."""


class Count(TorchDispatchMode):
    """Counts operations, and those by which the host waits for values."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.waits = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        self.waits += func.name().partition(".")[0] in WAITING or _by_mask(func.name(), args)
        return func(*args, **(kwargs or {}))


def _by_mask(name: str, arguments: Any) -> bool:
    lists = [argument for argument in arguments if isinstance(argument, (list, tuple))]
    parts = [part for each in lists for part in each]
    return name.startswith("aten::index") and any(
        isinstance(part, Tensor) and part.dtype == torch.bool for part in parts
    )


def a_step(
    make: Callable[[int], Any], net: inputopt.Frozen, x: Tensor, y: Tensor, within: AbstractContextManager[None]
) -> tuple[float, float]:
    """Operations and waits of a step."""
    found = []
    with within:
        for steps in (FEW, MORE):
            with Count() as count:
                made = make(steps)(net, x, y)
            scale = getattr(make(steps), "steps", steps) / steps
            found.append((count.operations, count.waits, scale))
            del made
    (few, few_waits, scale), (more, more_waits, _) = found
    return (more - few) / (MORE - FEW) / scale, (more_waits - few_waits) / (MORE - FEW) / scale


def main() -> None:
    """Print the table; with --json, plain values."""
    data, net = load_digits(), inputopt.Frozen(inputopt.load(NETWORK))
    x, y = data.held_x[:EXAMPLES], data.held_y[:EXAMPLES]
    known = net(x).argmax(1) == y
    x, y = x[known], y[known]
    A.PGD(steps=2)(net, x, y)  # first inputs are looked at more closely
    rows = []
    for name, make in ATTACKS.items():
        here, there = a_step(make, net, x, y, nullcontext()), a_step(make, net, x, y, as_if_asynchronous())
        rows.append({"attack": name, "operations": here[0], "waits": here[1], "gpu": there[0], "gpu waits": there[1]})
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'attack':18}{'CPU ops':>10}{'syncs':>8}{'GPU ops':>10}{'syncs':>8}{'target':>8}")
    for row in rows:
        target = TARGETS.get(row["attack"], "")
        print(
            f"{row['attack']:18}{row['operations']:10.1f}{row['waits']:8.1f}{row['gpu']:10.1f}{row['gpu waits']:8.1f}"
            f"{target!s:>8}"
        )


if __name__ == "__main__":
    main()
