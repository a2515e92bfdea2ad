"""What a row of the table of networks says, and what the networks are built from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE = (3, 8, 8)
CLASSES = 4
ROWS = 6

Plain = Callable[[Tensor], Tensor]


def itself(outputs: Any) -> Any:
    """The output of a model that returns its logits."""
    return outputs


@dataclass(frozen=True)
class Network:
    """One network of the table.

    Attributes:
        name, kind: what is odd about it, and the group that it belongs to.
        build: makes the model as a user would hold it, often in training mode; its weights follow from a fixed seed.
        reference: makes the plain model of the same weights; `build` unless the model itself cannot run in float64.
        shape: of one input.
        bounds, mean, std: what `Frozen` is told of its inputs.
        given: the dtype of the inputs that are passed.
        search: the dtype that searches run in, and of results.
        logits: takes the logits out of what the plain model returns.
        tolerance: how far logits may be from those of the plain float64 model, in parts of the largest of them.
        gradient_tolerance: the same for the input gradient, in parts of its Euclidean norm.
        search_tolerance: how far the outcomes of two searches may be apart, in parts of the largest logit: rounding may
            turn the sign of a tiny derivative, and with it one number of an input.
        reason: for the tolerances.
        refused: a regular expression of the sentence that refuses it; empty if it must work.
        no_derivative: whether the model runs but has no derivative by its input: gradient-free attacks only.
        random: whether two forwards of the same input differ.
        together: what `Report.warnings` must match for a model whose answer depends on other rows or earlier calls.
        warned: what `Report.warnings` must match, for a model that is judged like any other.
        layers: whether `features` must equal the outputs of its modules.
        picture: the layer that is dreamt; empty for none.
    """

    name: str
    kind: str
    build: Callable[[], Any]
    reference: Callable[[], Any] | None = None
    shape: tuple[int, ...] = IMAGE
    bounds: Any = (0.0, 1.0)
    mean: Any = None
    std: Any = None
    given: torch.dtype = torch.float32
    search: torch.dtype = torch.float32
    logits: Callable[[Any], Tensor] = itself
    tolerance: float = 1e-5
    gradient_tolerance: float = 1e-4
    search_tolerance: float = 2e-4
    reason: str = "float32: a dozen layers of sums of some hundred terms, and for derivatives as many again"
    refused: str = ""
    no_derivative: bool = False
    random: bool = False
    together: str = ""
    warned: str = ""
    layers: bool = True
    picture: str = ""

    @property
    def works(self) -> bool:
        """Whether the network answers each input alone, always alike, and with a derivative."""
        return not (self.refused or self.no_derivative or self.random or self.together)

    def made(self) -> Any:
        """The model, new and always the same."""
        return _seeded(self.build)

    def plain_model(self) -> Any:
        """The plain model in evaluation mode and float64."""
        model = _seeded(self.reference or self.build)
        if isinstance(model, nn.Module):
            model.eval()
            model.double()
        return model

    def plain(self) -> Plain:
        """What the plain model answers in float64 to inputs [B, ...], which are not written to."""
        model = self.plain_model()

        def answered(x: Tensor) -> Tensor:
            return self.logits(model(self.normalised(x.double()).clone())).double().clone()  # it may keep a buffer

        return answered

    def normalised(self, x: Tensor) -> Tensor:
        """Inputs less the mean and over the deviation that `Frozen` is told."""
        if self.mean is None:
            return x
        shape = (-1,) + (1,) * (len(self.shape) - 1)
        mean, std = (torch.as_tensor(value, dtype=x.dtype).reshape(shape) for value in (self.mean, self.std))
        return (x - mean) / std

    def box(self) -> tuple[Tensor, Tensor]:
        """The bounds in float64, of the shape of one input."""
        low, high = (torch.as_tensor(bound, dtype=torch.float64).expand(self.shape) for bound in self.bounds)
        return low, high

    def inputs(self) -> tuple[Tensor, Tensor]:
        """Inputs [B, ...] within the bounds, and the classes that the plain model sees in them.

        Of some that are drawn: those whose answer is clear and finite, and that are not so near a kink that rounding
        alone would turn their derivative.
        """
        low, high = self.box()
        low, high = torch.where(low.isinf(), -1.0, low), torch.where(high.isinf(), 1.0, high)
        x = (low + (high - low) * images(3 * ROWS, self.shape)).to(self.given)
        if self.refused:
            return x[:ROWS], torch.zeros(ROWS, dtype=torch.int64)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            if self.works:
                x = x[self._steady(x.double(), 2e-6 * (high - low))]
            clear = clearness(self._answers(x))
            clearest = clear.argsort(descending=True)[: min(2 * ROWS, int(clear.isfinite().sum()))]
            x = x[clearest[:: len(clearest) // ROWS][:ROWS]]
            assert len(x) == ROWS
            return x, self._answers(x).argmax(1)

    @torch.no_grad()
    def _answers(self, x: Tensor) -> Tensor:
        plain = self.plain()
        return torch.stack([plain(x) for _ in range(30)]).mean(0) if self.random else plain(x)

    def _steady(self, x: Tensor, reach: Tensor) -> Tensor:
        """Whether logits and derivatives are about the same at points that are so far off, bool [B]."""
        plain, places = self.plain(), []
        noise = reach * torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        for sign in (0, 1, -1):
            variable = (x + sign * noise).requires_grad_()
            logits = plain(variable)
            (slope,) = torch.autograd.grad(logits.nan_to_num(0, 0, 0).square().sum(), variable)
            places.append(torch.cat([logits.detach(), slope.reshape(len(x), -1)], 1).nan_to_num(0, 0, 0))
        moved = torch.stack([(place - places[0]).norm(dim=1) for place in places[1:]]).amax(0)
        return moved <= 1e-3 * places[0].norm(dim=1)


def clearness(logits: Tensor) -> Tensor:
    """By how much the first class leads, [B]; minus infinity where the answer is not finite."""
    first, second = logits.topk(2, 1).values.unbind(1)
    return torch.where(logits.isnan().any(1) | first.isinf(), -torch.inf, first - second)


@dataclass(frozen=True)
class Kind:
    """A group of networks; `add` puts a class or a function that builds a model into it."""

    name: str
    networks: list[Network] = field(default_factory=list)

    def add(self, **settings: Any) -> Callable[[Callable[[], Any]], Any]:
        """A decorator: the name is that of the class or function, in words."""

        def added(build: Callable[[], Any]) -> Any:
            name = "".join(" " + letter.lower() if letter.isupper() else letter for letter in build.__name__)
            self.networks.append(Network(name.replace("_", " ").strip(), self.name, build, **settings))
            return build

        return added


def _seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return settled(build())


def settled(model: Any) -> Any:
    """The model with batch statistics and affine weights like those of a trained network, where it has none yet.

    They are found by the names of its state, which scripts keep.
    """
    if not isinstance(model, nn.Module):
        return model
    state = model.state_dict(keep_vars=True)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in state:
            before, dot, last = name.rpartition(".")
            if last == "running_mean" and not bool(state[name].any()):
                state[name].normal_(0, 0.3, generator=draw)
                state[f"{before}{dot}running_var"].uniform_(0.02, 0.2, generator=draw)
                if f"{before}{dot}weight" in state:
                    state[f"{before}{dot}weight"].uniform_(0.5, 2, generator=draw)
                    state[f"{before}{dot}bias"].normal_(0, 0.3, generator=draw)
    return model


@functools.cache
def images(count: int, shape: tuple[int, ...] = IMAGE, seed: int = 5) -> Tensor:
    """Inputs in [0, 1] as bright and as coloured as photos are, in float64: each channel has a mean of its own."""
    draw = torch.Generator().manual_seed(seed)
    of_channels = (shape[0],) + (1,) * (len(shape) - 1) if len(shape) > 1 else shape
    means = torch.rand(count, *of_channels, generator=draw, dtype=torch.float64)
    return (2 * means + torch.rand(count, *shape, generator=draw, dtype=torch.float64)) / 3


@torch.no_grad()
def centred(head: nn.Linear, h: Tensor) -> None:
    """Bring a head to answer all classes about alike often, and clearly, for features h [B, n]."""
    head.weight /= (head.weight @ (h - h.mean(0)).T).std()
    head.bias.copy_(-head.weight @ h.mean(0))


@torch.no_grad()
def gathered(bn: Any, h: Tensor) -> Tensor:
    """Give a batch norm statistics like those of its inputs h, and weights; returns what it puts out then."""
    draw = torch.Generator().manual_seed(1)
    mean, variance = h.transpose(0, 1).flatten(1).mean(1), h.transpose(0, 1).flatten(1).var(1)
    bn.running_mean.copy_(mean + 0.3 * variance.sqrt() * torch.randn(len(mean), generator=draw))
    bn.running_var.copy_(variance * (0.5 + torch.rand(len(mean), generator=draw)))
    bn.weight.uniform_(0.5, 2, generator=draw)
    bn.bias.normal_(0, 0.3, generator=draw)
    return nn.functional.batch_norm(h, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)


class Convolutional(nn.Module):
    """A convolution, a batch norm, a rectifier and a head on the mean over places: what most kinds change a little."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.bn = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, CLASSES)
        h = gathered(self.bn, self.conv(images(12).float()))
        centred(self.head, h.relu().mean((2, 3)))

    def forward(self, x: Tensor) -> Any:
        return self.read(torch.relu(self.bn(self.conv(x))))

    def read(self, h: Tensor) -> Tensor:
        """Logits of what the convolutions put out."""
        return self.head(h.mean((2, 3)))


def small() -> nn.Sequential:
    """The plainest network of images that has a batch norm to fold."""
    conv, bn, head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(288, CLASSES)
    centred(head, gathered(bn, conv(images(12).float())).relu().flatten(1))
    return nn.Sequential(conv, bn, nn.ReLU(), nn.Flatten(), head)


def perceptron(inputs: int = 192, hidden: int = 12) -> nn.Sequential:
    """A network of any inputs without a convolution."""
    body, head = nn.Linear(inputs, hidden), nn.Linear(hidden, CLASSES)
    centred(head, torch.tanh(body(images(12).flatten(1)[:, :inputs].float())))
    return nn.Sequential(nn.Flatten(), body, nn.Tanh(), head)


def attended(tokens: Tensor) -> Tensor:
    """Tokens [B, N, C] that each took of all others what is like them."""
    return functional.scaled_dot_product_attention(tokens, tokens, tokens)
