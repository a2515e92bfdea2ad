"""True robustness of the broken defences, as far as attacks written by hand find it: writes `true_robustness.json`.

`python -m defences.measure` in tests/ measures all, about half an hour on one core; with names, only these again.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from defences import DEFENCES, EPS, Defence
from defences.fitting import digits
from defences.hand_attack import Attack, Judge, by_hand
from inputopt.files import write_text

RESULTS = Path(__file__).with_name("true_robustness.json")
SEED = 18
DIGITS = 100
FRESH = 1_000_000
"""Seed of the draws that final images are judged by, which no search used."""


def sample(count: int = DIGITS) -> tuple[Tensor, Tensor]:
    """A fixed sample of the held-out digits, equally of all classes, in turn: [count, 1, 28, 28] and labels [count]."""
    generator = np.random.default_rng(SEED)
    rows = np.concatenate([generator.permutation(100)[: DIGITS // 10] + 100 * label for label in range(10)])
    rows = torch.from_numpy(rows.reshape(10, -1).T.flatten()[:count].copy())
    return digits().held_x[rows], digits().held_y[rows]


def judge_of(defence: Defence, net: Any, reject: int | None = None) -> Judge:
    """How the defence's answers are judged during a search."""
    return Judge(net, defence.alone, defence.random, reject, seed=SEED)


def final_judge(defence: Defence, net: Any, reject: int | None = None) -> Judge:
    """How final images are judged: on fresh draws, few images to a draw unless the batch is part of the state."""
    batch = 16 if "stateful_network" in defence.indicators else 4
    return Judge(net, defence.alone, defence.random, reject, draws=84, seed=FRESH, batch=batch)


def made(defence: Defence) -> Any:
    """The defended network in evaluation mode, whose weights need no gradient."""
    net = defence.make()
    return net.eval().requires_grad_(False) if isinstance(net, nn.Module) else net


def measure(defence: Defence, count: int = DIGITS, seed: int = SEED) -> dict[str, Any]:
    """Clean accuracy, accuracy under the attack by hand, seconds, and what is left of each digit.

    For detectors `robust_accuracy` counts a rejected image as an error, and `robust_accuracy_if_rejected` as
    withstood, which is another attack: the image has to be accepted in a wrong class.
    """
    x, y = sample(count)
    started = time.perf_counter()
    net = made(defence)
    clean = final_judge(defence, net).correct(x, y)
    left = torch.minimum(clean, _left(defence, net, x, y, None, seed))
    found: dict[str, Any] = {"clean_accuracy": _rounded(clean.mean()), "robust_accuracy": _rounded(left.mean())}
    if defence.reject is not None:
        accepted = _left(defence, net, x, y, defence.reject, seed)
        found |= {"robust_accuracy_if_rejected": _rounded(accepted.mean()), "left_if_rejected": _each(accepted)}
    return found | {"seconds": round(time.perf_counter() - started, 1), "left": _each(left)}


@functools.cache
def transferred(attack: Attack, count: int, seed: int) -> Tensor:
    """The worst inputs found for the first surrogate, which all defences over the same network share."""
    x, y = sample(count)
    return by_hand(attack, Judge(attack.surrogates(None)[0]), x, y, EPS, seed)


def _left(defence: Defence, net: Any, x: Tensor, y: Tensor, reject: int | None, seed: int) -> Tensor:
    if defence.attack.transfer:
        worst = transferred(defence.attack, len(x), seed)
    else:
        worst = by_hand(defence.attack, judge_of(defence, net, reject), x, y, EPS, seed)
    assert ((worst - x).abs() <= EPS + 1e-6).all()
    assert ((worst >= 0) & (worst <= 1)).all()
    return final_judge(defence, net, reject).correct(worst, y)


def _rounded(value: Tensor) -> float:
    return round(value.item(), 4)


def _each(left: Tensor) -> str:
    """Shares of draws in percent, one per digit."""
    return " ".join(f"{100 * each:.0f}" for each in left.tolist())


def left_of(name: str, count: int, rejected: bool = False) -> float:
    """The kept accuracy under the attack by hand on the first `count` digits of the sample; NaN if there is none.

    Args:
        name: of the defence.
        count: at most `DIGITS`.
        rejected: whether an image that a detector rejects counts as withstood.
    """
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["defences"].get(name, {})
    shares = kept.get("left_if_rejected" if rejected else "left", kept.get("left", ""))
    return float(np.mean([float(each) / 100 for each in shares.split()[:count] or ["nan"]]))


def main() -> None:
    """Measure the defences named on the command line, or all, and write them among the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of defences; default: all")
    names = parser.parse_args().names or list(DEFENCES)
    for name in names:
        found = measure(DEFENCES[name])
        kept: dict[str, Any] = json.loads(RESULTS.read_text())["defences"] if RESULTS.exists() else {}
        kept[name] = found
        print(f"{name:30s}", *(f"{key} {value}" for key, value in found.items() if "left" not in key), flush=True)
        results = {
            "digits": DIGITS,
            "norm": "linf",
            "eps": EPS,
            "seed": SEED,
            "seconds": round(sum(each["seconds"] for each in kept.values()), 1),
            "defences": {each: kept[each] for each in DEFENCES if each in kept},
        }
        write_text(RESULTS, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
