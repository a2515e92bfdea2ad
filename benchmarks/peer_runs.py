"""One attack of one library, run inside that library's environment: `peer_runs.py NAME '{"attack": "pgd", ...}'`.

Prints a line of JSON for the driver. Each library is called as its documentation does, and imports nothing of inputopt.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import bare
import numpy as np
import torch
from torch import Tensor, nn

Attack = Callable[[Tensor, Tensor], Tensor]


def torchattacks_pgd(net: nn.Module, work: bare.Work) -> Attack:
    import torchattacks

    return torchattacks.PGD(net, eps=work["eps"], alpha=work["step"], steps=work["steps"], random_start=True)


def foolbox_pgd(net: nn.Module, work: bare.Work) -> Attack:
    import foolbox

    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(rel_stepsize=work["step"] / work["eps"], steps=work["steps"], random_start=True)
    return lambda x, y: attack(model, x, y, epsilons=work["eps"])[1]


def art_pgd(net: nn.Module, work: bare.Work) -> Attack:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    loss = nn.CrossEntropyLoss()
    model = PyTorchClassifier(net, loss=loss, input_shape=(1, 28, 28), nb_classes=10, clip_values=(0.0, 1.0))
    attack = ProjectedGradientDescent(
        model,
        norm=np.inf,
        eps=work["eps"],
        eps_step=work["step"],
        max_iter=work["steps"],
        num_random_init=1,
        batch_size=work["count"],
        verbose=False,
    )
    return lambda x, y: torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


def autoattack(net: nn.Module, work: bare.Work) -> Attack:
    from pyautoattack import AutoAttack

    norm = {"linf": "Linf", "l2": "L2"}[work["norm"]]
    attack = AutoAttack(net, norm=norm, eps=work["eps"], version="standard", seed=0)
    return lambda x, y: attack.run_standard_evaluation(x, y, batch_size=len(x))[0]


def adv_lib_alma(net: nn.Module, work: bare.Work) -> Attack:
    from adv_lib.attacks import alma

    return lambda x, y: alma(net, x, y, num_steps=work["steps"], distance=work["norm"])


ATTACKS: dict[tuple[str, str], tuple[str | None, Callable[[nn.Module, bare.Work], Attack]]] = {
    ("torchattacks", "pgd"): ("torchattacks", torchattacks_pgd),
    ("foolbox", "pgd"): ("foolbox", foolbox_pgd),
    ("art", "pgd"): ("adversarial-robustness-toolbox", art_pgd),
    ("pyautoattack", "autoattack"): ("pyautoattack", autoattack),
    ("adv-lib", "alma"): ("adv-lib", adv_lib_alma),
    ("bare", "pgd"): (None, bare.pgd),
    ("bare", "pgd at"): (None, bare.pgd_at),
}


def seeded(attack: Attack) -> Attack:
    """The same run every time: these libraries draw from the global generators."""

    def again(x: Tensor, y: Tensor) -> Tensor:
        torch.manual_seed(0)
        np.random.seed(0)
        return attack(x, y)

    return again


def main(name: str, work: bare.Work) -> dict[str, Any]:
    package, prepare = ATTACKS[name, work["attack"]]
    net = bare.Counted(bare.network(work))
    found = bare.measured(work, net, seeded(prepare(net, work)))
    return {**found, "torch": torch.__version__, "version": None if package is None else version(package)}


if __name__ == "__main__":
    bare.tell(main(sys.argv[1], json.loads(sys.argv[2])))
