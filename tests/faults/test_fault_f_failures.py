"""Faults f: bad settings are refused when they are made, before any network runs; a full memory, a bug in the model and
inputs of a wrong shape are three different sentences.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from contracts import known_inputs, small_net
from error_sentences import refused
from kinds.network import perceptron
from torch import Tensor, nn

import inputopt

A = inputopt.attacks
NET = small_net(torch.float32)
X, Y = known_inputs(torch.float32, 5)
IMAGES = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(2))


def of_images() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return perceptron(75)


# ----------------------------------------------------------------------------------------- settings, when they are made
SETTINGS: dict[str, Callable[[], object]] = {
    "steps": lambda: A.PGD(steps=-5),
    "steps of a minimal-norm attack": lambda: A.DDN(steps=0),
    "steps of targeted APGD": lambda: A.TargetedAPGD(steps=-5),
    "steps that are no whole number": lambda: A.FMN(steps=2.5),
    "norm": lambda: A.PGD("l3"),
    "norm that it has not": lambda: A.DeepFool("l1"),
    "eps": lambda: A.PGD(eps=-0.1),
    "eps that is no number": lambda: A.PGD(eps="large"),
    "eps that is not a number": lambda: A.PGD(eps=float("nan")),
    "restarts": lambda: A.PGD(restarts=0),
    "step_size": lambda: A.BIM(step_size=0.0),
    "loss": lambda: A.APGD(loss="hinge"),
    "targets": lambda: A.TargetedAPGD(targets=0),
    "levels": lambda: A.PGD(levels=1),
    "mask": lambda: A.PGD(mask="here"),
    "eot_samples": lambda: A.PGD(eot_samples=0),
    "confidence": lambda: A.CarliniWagner(confidence=-1.0),
    "overshoot": lambda: A.DeepFool(overshoot=0.0),
    "queries": lambda: A.MinimalNorm("l2", queries=0),
    "share": lambda: A.Square(share=2.0),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_are_checked_when_they_are_made(setting):
    refused(SETTINGS[setting], "(?i)L1|FAB" if "has not" in setting else setting.split()[0])


def test_nothing_runs_before_all_is_checked():
    runs = []

    def model(x: Tensor) -> Tensor:
        runs.append(len(x))
        return NET(x)

    for job in (
        lambda: inputopt.evaluate(model, X, Y, preset="fast"),
        lambda: inputopt.evaluate(model, X, Y, norm="l9"),
        lambda: inputopt.evaluate(model, X, Y, eps=-1.0, preset="quick"),
        lambda: A.PGD()(model, X, Y, seed=0.5),
        lambda: A.PGD()(model, X, Y, ids=[0.5] * 5),
        lambda: A.PGD()(model, X + 5, Y),
        lambda: inputopt.saliency(model, X, Y, "guess"),
        lambda: inputopt.fool(model, 0, (12,), count=0),
        lambda: inputopt.ascend(model, X, Y, steps=0),
    ):
        refused(job, ".")
    assert runs == []


# ----------------------------------------------------------------------------------- three failures are three sentences
def too_large(x: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def too_large_for_the_machine(x: Tensor) -> Tensor:
    return torch.empty(1 << 47)


def mistaken(x: Tensor) -> Tensor:
    return {}["head"]


def mistaken_by_a_runtime_error(x: Tensor) -> Tensor:
    raise RuntimeError("the cache of this layer is stale")


USES: dict[str, Callable[[Any], object]] = {
    "frozen": lambda model: inputopt.Frozen(model)(IMAGES),
    "attack": lambda model: A.PGD(steps=2)(model, IMAGES, [0, 1, 2, 3]),
    "evaluate": lambda model: inputopt.evaluate(model, IMAGES, [0, 1, 2, 3], preset="quick"),
    "fool": lambda model: inputopt.fool(model, 1, (3, 5, 5), count=2, steps=2),
    "saliency": lambda model: inputopt.saliency(model, IMAGES, [0, 1, 2, 3], "gradient"),
}


@pytest.mark.parametrize("use", USES)
def test_memory_bugs_and_shapes_are_told_apart(use):
    job = USES[use]
    for model in (too_large, too_large_for_the_machine):
        with pytest.raises(Exception, match=r"(?i)memory") as caught:
            job(model)
        assert not isinstance(caught.value, inputopt.ModelError)
        assert "shape" not in str(caught.value)
    for model, cause in ((mistaken, KeyError), (mistaken_by_a_runtime_error, RuntimeError)):
        with pytest.raises(inputopt.ModelError) as caught:
            job(model)
        assert isinstance(caught.value.__cause__, cause)
        assert re.fullmatch(r"[^\n]+[.]", str(caught.value))
        assert not re.search("memory", str(caught.value))
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    sentence = refused(lambda: job(narrow), r"shape|size")
    assert "75" in sentence or "3, 5, 5" in sentence or "[3" in sentence
    late = Late(narrow, after=2)
    if use in ("attack", "evaluate"):
        refused(lambda: job(late), ".")


class Late:
    """Works a few times, and then fails with an error that speaks of shapes."""

    def __init__(self, net: nn.Module, after: int) -> None:
        self.net, self.after, self.good = net, after, of_images()

    def __call__(self, x: Tensor) -> Tensor:
        self.after -= 1
        return self.good(x) if self.after >= 0 else self.net(x)


def test_what_is_no_error_passes():
    def stopped(x: Tensor) -> Tensor:
        raise KeyboardInterrupt

    for job in USES.values():
        with pytest.raises(KeyboardInterrupt):
            job(stopped)


def test_a_warning_of_the_models_own_is_no_doubt_of_ours():
    def model(x: Tensor) -> Tensor:
        warnings.warn("this layer is deprecated", DeprecationWarning, stacklevel=2)
        return NET(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        report = inputopt.evaluate(model, X, Y, eps=0.01, preset="quick")
    assert report.warnings == inputopt.evaluate(NET, X, Y, eps=0.01, preset="quick").warnings


def test_warnings_of_ours_have_a_class_of_their_own():
    assert issubclass(inputopt.InputoptWarning, UserWarning)
    with pytest.warns(inputopt.InputoptWarning, match="probabilities"):
        A.PGD(steps=2)(lambda x: NET(x).softmax(1), X, Y)
