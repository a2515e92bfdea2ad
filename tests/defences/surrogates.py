"""Differentiable surrogates of the deterministic defences, written by hand for each.

Each function takes the defended network and returns surrogates, the most useful first. Where a part has no derivative,
its backward is that of the identity or of a smooth function near it (BPDA; Athalye et al., 2018).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from defences import activations, denoising, heads
from defences.defence import cnn, mlp
from defences.hand_attack import Surrogate


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the derivative of `soft`."""
    return soft + (hard - soft).detach()


def itself(net: Any) -> list[Surrogate]:
    """The network, whose gradient is sound."""
    return [net]


def undefended(net: Any) -> list[Surrogate]:
    """The convolutional network without the defence, in float64."""
    plain = cnn().double()
    return [lambda x: plain(x.double())]


def undefended_mlp(net: Any) -> list[Surrogate]:
    """The MLP without the defence, in float64."""
    plain = mlp().double()
    return [lambda x: plain(x.double())]


def through_first(net: nn.Sequential) -> list[Surrogate]:
    """The first module is evaluated as it is, with the identity's backward; then the plain network."""
    first, rest = net[0], net[1:]
    return [lambda x: rest(straight_through(first(x), x)), rest]


def integer_input(net: Any) -> list[Surrogate]:
    return [lambda x: net.net(straight_through((x * 255).floor() / 255, x))]


def thermometer(net: Any) -> list[Surrogate]:
    """Backward of a ramp around each threshold, or of a sigmoid."""
    thresholds = net.encode.thresholds[:, None, None]

    def soft(x: Tensor, width: float) -> Tensor:
        code = torch.sigmoid((x - thresholds) / width)
        return net.classify(straight_through(net.encode(x), code))

    return [lambda x: soft(x, 0.08), lambda x: soft(x, 0.03), lambda x: soft(x, 0.2)]


def jpeg(net: denoising.JpegNetwork) -> list[Surrogate]:
    """The identity's backward: the codec rounds coefficients of an orthonormal transform."""
    return [lambda x: net.model(straight_through(net.compress(x), x)), net.model]


def median(net: nn.Sequential) -> list[Surrogate]:
    """The derivative of the median goes to the pixel in the middle; also the mean of the window, and the identity."""

    def filtered(x: Tensor) -> Tensor:
        windows = functional.unfold(functional.pad(x, (1, 1, 1, 1), "reflect"), 3)
        return windows.median(1).values.reshape(x.shape)

    def mean(x: Tensor) -> Tensor:
        return straight_through(net[0](x), functional.avg_pool2d(x, 3, 1, 1))

    return [
        lambda x: net[1](filtered(x)),
        lambda x: net[1](mean(x)),
        lambda x: net[1](straight_through(net[0](x), x)),
    ]


def total_variation(net: Any) -> list[Surrogate]:
    """Through all steps of the denoiser, which are differentiable; and with the identity's backward."""
    plain = cnn()

    def denoised(x: Tensor) -> Tensor:
        return denoising.total_variation(x + 1e-7 * torch.rand_like(x)).clamp(0, 1)  # no root of an exact zero

    return [
        lambda x: plain(denoised(x)),
        lambda x: plain(straight_through(denoising.total_variation(x.detach()).clamp(0, 1), x)),
    ]


def purified(net: Any) -> list[Surrogate]:
    """The inner steps descend a quadratic energy, so that they are written out."""
    purify = net.purify

    def unrolled(x: Tensor) -> Tensor:
        given = x.flatten(1)
        point = given
        for _ in range(purify.steps):
            rest = point - purify.mean
            rest = rest - rest @ purify.basis @ purify.basis.T
            point = point - purify.rate * (rest + purify.fidelity * (point - given))
        return point.clamp(0, 1).reshape(x.shape)

    return [lambda x: net.classifier(unrolled(x)), lambda x: net.classifier(straight_through(net.purify(x), x))]


def low_pass(net: Any) -> list[Surrogate]:
    """The same filter in torch, which differentiates it."""
    plain = mlp()
    rows, columns = torch.fft.fftfreq(28).abs(), torch.fft.rfftfreq(28)
    keep = (rows[:, None] + columns) < 0.3

    def filtered(x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * keep, s=(28, 28))

    return [lambda x: plain(filtered(x))]


def closure(net: Any) -> list[Surrogate]:
    """The blurred image before its rounding up or down."""
    plain = cnn()

    def quantised(x: Tensor) -> Tensor:
        soft = 0.8 * x + 0.2 * functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, stride=1)
        hard = torch.where(x > 0.5, torch.ceil(8 * soft), torch.floor(8 * soft)) / 8
        return straight_through(hard, soft)

    return [lambda x: plain(quantised(x))]


def nested(net: Any) -> list[Surrogate]:
    classify = net.stages["classify"][0]
    return [lambda x: classify(straight_through(torch.round(x * 5) / 5, x)), classify]


def binarised(net: Any) -> list[Surrogate]:
    """Sign with the backward of a tanh, at three slopes."""

    def soft(x: Tensor, slope: float) -> Tensor:
        h = net.norm(net.hidden(x.flatten(1)))
        return net.out(straight_through(torch.sign(h), torch.tanh(slope * h)))

    return [lambda x: soft(x, 1.0), lambda x: soft(x, 3.0), lambda x: soft(x, 0.4)]


def instance_statistics(net: Any) -> list[Surrogate]:
    """What the batch statistics are for a batch of one, computed for many images at once."""

    def alone(norm: nn.BatchNorm2d, h: Tensor) -> Tensor:
        return functional.instance_norm(h, weight=norm.weight, bias=norm.bias, eps=norm.eps)

    def run(x: Tensor) -> Tensor:
        h = torch.relu(alone(net.norm1, net.conv1(x)))
        h = torch.relu(alone(net.norm2, net.conv2(h)))
        return net.linear2(torch.relu(net.linear1(h.flatten(1))))

    return [run]


def own_contrast(net: Any) -> list[Surrogate]:
    def run(x: Tensor) -> Tensor:
        return net.layers[0](x * 0.31 / x.std((1, 2, 3), keepdim=True).clamp_min(1e-6))

    return [run]


def in_double(net: nn.Module) -> list[Surrogate]:
    """The network in float64 with differences of logits as loss, which large logits do not saturate."""
    wide = copy.deepcopy(net).double()
    return [lambda x: wide(x.double())]


def saturating(net: Any) -> list[Surrogate]:
    """A sigmoid in place of the bounded rectifier, with its value or only its backward."""

    def soft(x: Tensor, width: float, hard: bool) -> Tensor:
        h = net.slope * net.hidden(x.flatten(1))
        smooth = torch.sigmoid((h - 0.5) / width)
        return net.out(straight_through(h.clamp(0, 1), smooth) if hard else smooth)

    return [lambda x: soft(x, 0.5, True), lambda x: soft(x, 1.5, True), lambda x: soft(x, 0.25, False)]


def output_code(net: Any) -> list[Surrogate]:
    """The bits before they saturate, and with a flatter tanh."""

    def soft(x: Tensor, steepness: float) -> Tensor:
        return torch.tanh(steepness * net.features(x)) @ net.codes.T

    return [lambda x: soft(x, 1.0), lambda x: soft(x, 0.3), lambda x: soft(x, 4.0)]


def vote(net: heads.VotingEnsemble) -> list[Surrogate]:
    """Members' logits: their mean, and the means of two, of which any two can change the vote."""

    def of(*members: nn.Module) -> Surrogate:
        return lambda x: sum(_bounded(member(x)) for member in members)

    first, second, third = net.members
    return [of(first, second, third), of(first, second), of(first, third), of(second, third)]


def _bounded(logits: Tensor) -> Tensor:
    """Logits that stop counting once they lead clearly, so that a member that is fooled leaves the steps to others."""
    logits = logits - logits.detach().amax(1, keepdim=True)
    return functional.softplus(logits / 3 + 3)


def nearest_neighbours(net: heads.NearestNeighbours) -> list[Surrogate]:
    """Soft votes of all training digits by distance, at three temperatures, and the network that gives the features."""
    bank, members = net.bank.double(), functional.one_hot(net.classes, 10).bool()

    def soft(x: Tensor, temperature: float) -> Tensor:
        distance = torch.cdist(net.features(x).double(), bank)
        near = distance.topk(400, largest=False)
        votes = (-near.values / temperature)[:, :, None].masked_fill(~members[near.indices], -1e9)
        return torch.logsumexp(votes, 1).clamp_min(-1e3)

    return [lambda x: soft(x, 0.03), lambda x: soft(x, 0.1), lambda x: soft(x, 0.01), net.net]


def detector(net: heads.Detector) -> list[Surrogate]:
    return [net.net]


def squeeze_detector(net: heads.SqueezeDetector) -> list[Surrogate]:
    """Both the image and its squeezed copy have to be classified wrongly."""
    plain = net.body["plain"]

    def both(x: Tensor) -> Tensor:
        return plain(x) + plain(straight_through(torch.round(x * 3) / 3, x))

    return [both, plain, lambda x: plain(straight_through(torch.round(x * 3) / 3, x))]


def k_winners(net: nn.Sequential) -> list[Surrogate]:
    """Its own gradient, and one in which winners are chosen softly; both are averaged over noise on the input."""

    def soft(x: Tensor, width: float) -> Tensor:
        h = x
        for layer in net:
            if isinstance(layer, activations.KWinners):
                kept = max(1, round(layer.share * h.shape[1]))
                threshold = h.topk(kept, 1).values[:, -1:].detach()
                scale = h.detach().std(1, keepdim=True)
                h = straight_through(layer(h), h * torch.sigmoid((h - threshold) / (width * scale)))
            else:
                h = layer(h)
        return h

    return [net, lambda x: soft(x, 0.3), lambda x: soft(x, 1.0)]


def sine(net: Any) -> list[Surrogate]:
    """The plain network on what the sine makes of the image; `reach_through_sine` finds the image."""
    return [net.net]


def reach_through_sine(z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The x in the box whose x + .02 sin(2,000 x) is nearly z, which may lie .02 outside of the box."""
    period = 2 * math.pi / 2000
    nearest = torch.minimum(torch.maximum(z, low), high).double()
    phase = torch.asin(((z.double() - nearest) / 0.02).clamp(-1, 1)) / 2000
    x = phase + period * torch.round((nearest - phase) / period)
    x = torch.where(x < low, x + period, x)
    return torch.where(x > high, x - period, x).float()


def rounded_features(net: Any) -> list[Surrogate]:
    def run(x: Tensor) -> Tensor:
        h = net.front(x)
        return net.back(straight_through(torch.floor(4 * h) / 4, h))

    return [run]


def anti_adversary(net: Any) -> list[Surrogate]:
    """The inner network decides what its prediction is pushed to; and the whole, whose backward skips the push."""
    return [net.net, net]
