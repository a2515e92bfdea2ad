"""Arguments in the wrong order or of the wrong kind: one sentence that says what to do, before the network runs."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import inputopt
from inputopt.attacks import DDN, PGD

X, Y = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(4)
ONE_HOT = nn.functional.one_hot(Y, 10)
LOADER = DataLoader(TensorDataset(X, Y), batch_size=2)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.calls = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10)), 0

    def forward(self, x):
        self.calls += 1
        return self.layers(x)


NET = Counting()
CALLS = [
    lambda *given: PGD(steps=1)(*given),
    lambda *given: DDN(steps=1)(*given),
    lambda *given: inputopt.evaluate(*given, preset="quick"),
    lambda *given: inputopt.robustness_curve(*given),
    lambda *given: inputopt.certify(*given),
    lambda *given: inputopt.ascend(*given),
]
WRONG = [
    ((NET, Y, X), r"x must be a tensor of floating-point numbers, not torch.int64 \[4\]; the order is model, x, y"),
    ((Y, X, None), "must be a torch module or a function, not Tensor; it comes first"),
    ((X, NET, Y), "must be a torch module or a function, not Tensor; it comes first"),
    ((NET, X, X), "not inputs of shape .*; give x, then y"),
    ((NET, X, Y.float()), r"convert them with .long\(\)"),
    ((NET, X, ONE_HOT), r"not shape \[4, 10\]; convert them with .argmax\(1\)"),
    ((NET, X, ONE_HOT.float()), r"not shape \[4, 10\]; convert them with .argmax\(1\)"),
    ((NET, X, Y[:, None]), r"not shape \[4, 1\]; convert them with .flatten\(\)"),
    ((NET, X[0], Y[0]), r"give a batch, such as x\[None\] and y\[None\]"),
    (
        (NET, LOADER, None),
        r"not DataLoader; give the tensors of a batch, .* x, y = next\(iter\(loader\)\)",
    ),
    ((NET, LOADER.dataset, None), "not TensorDataset; give the tensors of a batch"),
    ((LOADER, NET, Y), "must be a torch module or a function, not DataLoader"),
    ((NET, list(X), Y), r"not a list of tensors; join them with torch.stack\(x\)"),
    ((NET, (255 * X).byte(), Y), "scale the levels into the model's bounds, such as x / 255"),
    ((NET, 255 * X, Y), r"such as bounds=\(0, 255\)\."),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
@pytest.mark.parametrize("call", CALLS)
def test_arguments_of_the_wrong_kind_are_a_sentence_and_the_network_does_not_run(call, given, words):
    before = NET.calls
    with pytest.raises((TypeError, ValueError), match=words) as raised:
        call(*given)
    assert NET.calls == before
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize("attack", [PGD, DDN, inputopt.attacks.Square])
def test_a_network_instead_of_settings_is_a_sentence(attack):
    with pytest.raises(
        TypeError, match="norm must be one of l0, l1, l2, linf, not Counting; settings come first"
    ) as raised:
        attack(NET)
    assert f"{attack.__name__}(norm)(model, x, y)" in str(raised.value)


def test_channels_last_and_detectors_are_sentences():
    last = X.permute(0, 2, 3, 1)
    with pytest.raises(ValueError, match=r"holds the channels, give x.permute\(0, 3, 1, 2\)"):
        PGD(steps=1)(NET, last, Y)
    with pytest.raises(TypeError, match=r"The model must return logits \[B, n\]"):
        PGD(steps=1)(lambda x: [{"boxes": each, "labels": Y} for each in x], X, Y)
