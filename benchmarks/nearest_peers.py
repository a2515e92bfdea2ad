"""One minimal-norm attack of one library, run inside that library's environment, with every query watched.

`nearest_peers.py NAME '{"attack": "ddn", "norm": "l2", ...}'` prints a line of JSON: the nearest input that each digit
was ever taken to within the budget, whatever the attack returned in the end. Imports nothing of inputopt.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import bare
import torch
from torch import Tensor, nn

Attack = Callable[[Tensor, Tensor], Any]
ORDERS = {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}
WIDEST = {"l1": 60.0, "l2": 8.0, "linf": 0.6}  # where a bisection on eps begins


class Watched(nn.Module):
    """A network that keeps, of every digit, the nearest input that it erred on within so many queries."""

    def __init__(self, net: nn.Module, x: Tensor, y: Tensor, norm: str, queries: int) -> None:
        super().__init__()
        self.net, self.x, self.y, self.norm, self.queries = net, x, y, norm, queries
        self.forwards, self.backwards = torch.zeros(len(x)), torch.zeros(len(x))
        self.nearest = torch.full((len(x),), torch.inf)

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.net(x)
        with torch.no_grad():
            rows = self._rows(x)
            self.forwards.index_add_(0, rows, torch.ones(len(rows)))
            change = (x - self.x[rows]).flatten(1)
            distance = torch.linalg.vector_norm(change, ORDERS[self.norm], dim=1)
            counts = (outputs.argmax(1) != self.y[rows]) & ((x >= -1e-6) & (x <= 1 + 1e-6)).flatten(1).all(1)
            counts &= (self.forwards + self.backwards)[rows] <= self.queries
            self.nearest.scatter_reduce_(0, rows[counts], distance[counts], "amin")
        if outputs.requires_grad:
            outputs.register_hook(lambda grad: self._count(grad, rows))
        return outputs

    def _rows(self, x: Tensor) -> Tensor:
        """Which digit each input was made of: the nearest, unless all of them are there."""
        if len(x) == len(self.x):
            return torch.arange(len(x))
        return torch.cdist(x.flatten(1), self.x.flatten(1)).argmin(1)

    def _count(self, grad: Tensor, rows: Tensor) -> None:
        self.backwards.index_add_(0, rows, (grad != 0).any(1).float())


def adv_lib(net: nn.Module, work: bare.Work) -> Attack:
    from adv_lib import attacks
    from adv_lib.attacks.auto_pgd import minimal_apgd

    steps, norm, order = work["queries"] // 2, work["norm"], ORDERS[work["norm"]]
    searches = {
        "binary_search_steps": 10,
        "max_eps": WIDEST.get(norm, 0.0),
        "norm": order,
        "use_large_reps": norm == "l1",
    }
    known: dict[str, Attack] = {
        "DDN": lambda x, y: attacks.ddn(net, x, y, steps=steps, levels=None),
        "FMN": lambda x, y: attacks.fmn(net, x, y, order, steps=steps),
        "ALMA": lambda x, y: attacks.alma(net, x, y, num_steps=steps, distance=norm),
        "PDGD": lambda x, y: attacks.pdgd(net, x, y, num_steps=steps),
        "PDPGD": lambda x, y: attacks.pdpgd(
            net, x, y, order, num_steps=steps, proximal_operator=23 if norm == "l0" else None
        ),
        "SigmaZero": lambda x, y: attacks.sigma_zero(net, x, y, num_steps=steps),
        "CarliniWagner": lambda x, y: attacks.carlini_wagner_l2(
            net, x, y, max_iterations=steps // 9, initial_const=1.0, learning_rate=0.05, abort_early=False
        ),
        "DeepFool": lambda x, y: attacks.df(net, x, y, steps=steps // 5, norm=order),
        "SuperDeepFool": lambda x, y: attacks.sdf(net, x, y, steps=steps // 5),
        "TrustRegion": lambda x, y: attacks.tr(net, x, y, iter=steps // 2, adaptive=True, p=order),
        "FAB": lambda x, y: attacks.fab(net, x, y, order, n_iter=2 * steps // 11),
        "TargetedFAB": lambda x, y: attacks.fab(net, x, y, order, n_iter=2 * steps // 27, targeted_restarts=True),
        "Minimal APGD": lambda x, y: minimal_apgd(net, x, y, n_iter=steps // 10, **searches),
        "Minimal TargetedAPGD": lambda x, y: minimal_apgd(
            net, x, y, n_iter=steps // 50, targeted_version=True, **searches
        ),
        "VFGA": lambda x, y: attacks.vfga(net, x, y, targeted=False, max_iter=steps),
    }
    return known[work["attack"]]


def foolbox(net: nn.Module, work: bare.Work) -> Attack:
    from foolbox import PyTorchModel, attacks

    steps, norm = work["queries"] // 2, work["norm"]
    model = PyTorchModel(net, bounds=(0, 1))
    fmn = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "LInf"}[norm]
    deep = attacks.LinfDeepFoolAttack if norm == "linf" else attacks.L2DeepFoolAttack
    known: dict[str, Callable[[], Any]] = {
        "DDN": lambda: attacks.DDNAttack(steps=steps),
        "FMN": lambda: getattr(attacks, f"{fmn}FMNAttack")(steps=steps),
        "CarliniWagner": lambda: attacks.L2CarliniWagnerAttack(9, steps // 9, 0.05, initial_const=1.0),
        "EAD": lambda: attacks.EADAttack(9, steps * 2 // 27, 0.05, initial_const=1.0, decision_rule="L1"),
        "DeepFool": lambda: deep(steps=steps // 5),
        "BrendelBethge": lambda: getattr(attacks, f"{fmn.replace('LInf', 'Linfinity')}BrendelBethgeAttack")(
            steps=steps - 20, init_attack=attacks.LinearSearchBlendedUniformNoiseAttack(steps=20)
        ),
    }
    attack = known[work["attack"]]()
    return lambda x, y: attack(model, x, y, epsilons=None)


LIBRARIES = {"adv-lib": adv_lib, "foolbox": foolbox}


def main(name: str, work: bare.Work) -> dict[str, Any]:
    x, y = bare.digits(work)
    net = Watched(bare.network(work), x, y, work["norm"], work["queries"])
    torch.manual_seed(0)
    attack = LIBRARIES[name](net, work)
    started = time.perf_counter()
    attack(x, y)
    return {
        "distance": net.nearest.tolist(),
        "seconds": time.perf_counter() - started,
        "forwards": float(net.forwards.mean()),
        "backwards": float(net.backwards.mean()),
        "version": version(name),
    }


if __name__ == "__main__":
    bare.tell(main(sys.argv[1], json.loads(sys.argv[2])))
