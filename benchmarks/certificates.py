"""Certified accuracy and time of `inputopt.certify`, with auto_LiRPA's alpha-CROWN on the same networks and digits.

    python benchmarks/certificates.py --count 20 --peer FOLDER

FOLDER is where `pip install --target FOLDER --no-deps auto_LiRPA appdirs` put it; without it that column is skipped.
Both run in turns on batches of the same digits, on one thread, and processor time is compared. With --points, random
points of certified balls are classified too: none may be misclassified.
"""

import argparse
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import inputopt
from inputopt.bounds.interval import margin_matrix
from inputopt.zoo.digits import load_digits

WORK = (
    ("digits-mlp", 0.03),
    ("digits-cnn-robust", 0.1),
    ("digits-mlp-certified", 0.1),
    ("digits-cnn-certified", 0.1),
)
BATCH = 25
ITERATIONS = 20  # auto_LiRPA's default


def find_peer(folder: str | None) -> Any:
    """auto_LiRPA, or None; its version 0.3 imports private functions of torch and numpy that have moved since."""
    if folder is not None:
        sys.path.insert(0, folder)
    try:
        from torch.onnx._internal.torchscript_exporter import symbolic_helper, utils
        from torch.onnx._internal.torchscript_exporter._globals import GLOBALS

        moved = {"torch.onnx.utils": utils, "torch.onnx.symbolic_helper": symbolic_helper}
        for name, module in moved.items():
            stand_in = types.ModuleType(name)
            vars(stand_in).update({key: value for key, value in vars(module).items() if not key.startswith("__")})
            sys.modules[name] = stand_in
        opset = sys.modules["torch.onnx.symbolic_helper"]
        opset._set_opset_version = lambda version: setattr(GLOBALS, "export_onnx_opset_version", version)
        sets = sys.modules["numpy.lib.arraysetops"] = types.ModuleType("numpy.lib.arraysetops")
        sets.isin = np.isin
        torch._C.Node.__getitem__ = lambda node, key: getattr(node, node.kindOf(key))(key)
        import auto_LiRPA
    except ImportError:
        return None
    return auto_LiRPA


def plain(net: nn.Module) -> nn.Module:
    """The network as auto_LiRPA parses it."""
    if not isinstance(net, inputopt.MLP):
        return net
    layers: list[nn.Module] = [nn.Flatten()]
    for weight, bias in zip(net.weights, net.biases, strict=True):
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight, layer.bias = weight, bias
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def by_peer(peer: Any, net: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Whether alpha-CROWN proves each digit, with all intermediate bounds optimised."""
    options = {"optimize_bound_args": {"iteration": ITERATIONS}, "sparse_features_alpha": False}
    bounded = peer.BoundedModule(plain(net), x[:1], bound_opts=options, device="cpu", verbose=False)
    ball = peer.PerturbationLpNorm(norm=np.inf, eps=eps, x_L=(x - eps).clamp(0, 1), x_U=(x + eps).clamp(0, 1))
    rows = margin_matrix(y, 10, torch.float32)
    low, _ = bounded.compute_bounds(
        x=(peer.BoundedTensor(x, ball),), C=rows, method="CROWN-Optimized", bound_upper=False
    )
    return low.amin(1) > 0


def row(peer: Any, name: str, eps: float, count: int, budget: int, points: int) -> dict[str, Any]:
    """One network: the number of digits certified by each, and processor seconds."""
    digits, net = load_digits(), inputopt.load(name)
    x, y = digits.held_x[:: 1000 // count], digits.held_y[:: 1000 // count]
    found: dict[str, list[Tensor]] = {"ours": [], "peer": []}
    seconds = dict.fromkeys(found, 0.0)
    for start in range(0, len(x), BATCH):
        part, label = x[start : start + BATCH], y[start : start + BATCH]
        for side in ("ours", "peer") if start // BATCH % 2 else ("peer", "ours"):
            if side == "peer" and peer is None:
                continue
            started = time.process_time()
            made = (
                by_peer(peer, net, part, label, eps)
                if side == "peer"
                else inputopt.certify(net, part, label, "linf", eps, budget=budget).certified
            )
            seconds[side] += time.process_time() - started
            found[side].append(made)
    ours = torch.cat(found["ours"])
    values: dict[str, Any] = {"network": name, "eps": eps, "digits": len(x), "ours": int(ours.sum())}
    values["seconds"] = round(seconds["ours"], 2)
    if peer is not None:
        values |= {"alpha-crown": int(torch.cat(found["peer"]).sum()), "its seconds": round(seconds["peer"], 2)}
        values["time, ratio"] = round(seconds["ours"] / seconds["peer"], 3)
    if points:
        values["misclassified points"] = misclassified(net, x[ours], y[ours], eps, points)
    return values


@torch.no_grad()
def misclassified(net: nn.Module, x: Tensor, y: Tensor, eps: float, points: int) -> int:
    """How many of so many random points of certified balls, half of them corners, are not classified as the digit."""
    wrong, generator = 0, torch.Generator().manual_seed(0)
    for draw in range(-(-points // max(1, len(x)))):
        change = 2 * torch.rand(x.shape, generator=generator) - 1
        change = change.sign() if draw % 2 else change
        wrong += int((net((x + eps * change).clamp(0, 1)).argmax(1) != y).sum())
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="digits for each network (20)")
    parser.add_argument("--peer", help="folder that auto_LiRPA is installed in")
    parser.add_argument("--budget", type=int, default=300, help="linear bounds for each digit (300)")
    parser.add_argument("--networks", nargs="+", help="only these networks")
    parser.add_argument("--points", type=int, default=0, help="random points of certified balls for each network (0)")
    parser.add_argument("--json", help="file to write the rows to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peer = find_peer(options.peer)
    if peer is None:
        print("auto_LiRPA is not installed here, so the comparison with it is skipped.")
    rows = []
    for name, eps in WORK:
        if options.networks and name not in options.networks:
            continue
        rows.append(row(peer, name, eps, options.count, options.budget, options.points))
        print(rows[-1], flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
