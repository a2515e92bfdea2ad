"""Networks that return something else than the logits of a differentiable network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from defences.defence import cnn, mlp
from defences.fitting import digits


def softmax_output() -> nn.Module:
    return nn.Sequential(cnn(), nn.Softmax(1))


class SharpSoftmax(nn.Module):
    """Probabilities at a low temperature: exactly 0 and 1 almost everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(20 * self.net(x), dim=-1)


def log_softmax_output() -> nn.Module:
    return nn.Sequential(cnn(), nn.LogSoftmax(1))


class HardLabels(nn.Module):
    """The predicted class as a one-hot vector."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return functional.one_hot(self.net(x).argmax(1), 10).float()


class VotingEnsemble(nn.Module):
    """Each member votes for one class; the numbers of votes are returned, ties broken by the order of members."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([cnn(), mlp(), _smoothed(cnn())])

    def forward(self, x: Tensor) -> Tensor:
        votes = torch.zeros(len(x), 10)
        for place, member in enumerate(self.members):
            votes[torch.arange(len(x)), member(x).argmax(1)] += 1 - 0.1 * place
        return votes


def _smoothed(net: nn.Module) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), net)


class NearestNeighbours(nn.Module):
    """The share of each class among the nearest training digits in feature space (Papernot and McDaniel, 2018)."""

    def __init__(self, neighbours: int = 15) -> None:
        super().__init__()
        self.net = cnn()
        self.neighbours = neighbours
        with torch.no_grad():
            self.register_buffer("bank", self.features(digits().x))
        self.register_buffer("classes", digits().y)

    def features(self, x: Tensor) -> Tensor:
        h = torch.relu(self.net.conv2(torch.relu(self.net.conv1(x)))).flatten(1)
        return functional.normalize(torch.relu(self.net.linear1(h)))

    def forward(self, x: Tensor) -> Tensor:
        distance = torch.cdist(self.features(x), self.get_buffer("bank"))
        nearest = distance.topk(self.neighbours, largest=False).indices
        return functional.one_hot(self.get_buffer("classes")[nearest], 10).float().mean(1)


class Detector(nn.Module):
    """An eleventh class is returned where the network is not confident (Hendrycks and Gimpel, 2017)."""

    def __init__(self, confidence: float = 0.9) -> None:
        super().__init__()
        self.net = cnn()
        self.confidence = confidence

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        suspicious = logits.softmax(1).amax(1) < self.confidence
        reject = torch.where(suspicious, logits.amax(1) + 1, logits.amin(1) - 1)
        return torch.cat([logits, reject[:, None]], 1)


class SqueezeDetector(nn.Module):
    """Feature squeezing (Xu et al., 2018): class 10 where a squeezed copy is classified otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict({"plain": cnn()})

    def forward(self, x: Tensor) -> Tensor:
        logits = self.body["plain"](x)
        squeezed = self.body["plain"](torch.round(x * 3) / 3)
        distance = (logits.softmax(1) - squeezed.softmax(1)).abs().sum(1)
        return torch.cat([logits, (logits.amax(1) + 20 * (distance - 0.5))[:, None]], 1)
