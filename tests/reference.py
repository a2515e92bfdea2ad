"""A network beside its plain float64 version, which PyTorch alone runs: reference outputs, a reference PGD loop, and
assertions on results.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import oracles
import torch
from contracts import chance_state
from kinds.network import Network, Plain
from model_state import state_of
from torch import Tensor

import inputopt

STEPS = 4
STEP = 0.5
FAR, NEAR = 3.0, 0.3
"""Radii, in parts of the distance at which a linear network would err: one is mostly enough, the other mostly not."""


@dataclass(frozen=True)
class Case:
    """A network of the table, its inputs, and what the plain model says of them."""

    network: Network
    x: Tensor
    y: Tensor
    plain: Plain
    logits: Tensor
    slope: Tensor
    """The derivative of the margin by the inputs, [B, ...]."""

    @property
    def slack(self) -> float:
        """How far a logit may be off."""
        return self.network.tolerance * float(self.logits[self.logits.isfinite()].abs().max())

    @property
    def outcome_slack(self) -> float:
        """How far the outcome of a search may be off, as a difference of logits."""
        return self.slack * self.network.search_tolerance / self.network.tolerance

    def margin(self, x: Tensor) -> Tensor:
        """By how much the plain model puts the class y first, [B]; NaN where its answer is not finite."""
        with torch.no_grad():
            return margin(self.plain(x.detach()), self.y)

    def frozen(self, model: Any) -> inputopt.Frozen:
        network = self.network
        return inputopt.Frozen(model, bounds=network.bounds, mean=network.mean, std=network.std)

    def given(self, model: Any) -> Any:
        """The model as it is where attacks take it so; frozen where its inputs lie elsewhere."""
        network = self.network
        usual = not any(isinstance(end, Tensor) for end in network.bounds) and network.bounds == (0.0, 1.0)
        return model if usual and network.mean is None else self.frozen(model)

    @functools.cached_property
    def plain_model(self) -> Any:
        """The plain model, to be looked into."""
        return self.network.plain_model()

    @functools.cached_property
    def plain_net(self) -> inputopt.Frozen:
        """The plain float64 model as a function: nothing to copy, to fold or to convert."""
        return inputopt.Frozen(self.plain, bounds=self.network.bounds)

    def plain_layers(self, x: Tensor) -> dict[str, Tensor]:
        """What each module of the plain network puts out at its first call, kept before anybody can write to it."""
        model, seen = self.plain_model, {}

        def keep(layer: str, out: Any) -> None:
            if isinstance(out, Tensor) and layer and layer not in seen:
                seen[layer] = out.detach().clone().double()

        hooks = [
            module.register_forward_hook(lambda module, given, out, layer=layer: keep(layer, out))
            for layer, module in model.named_modules()
        ]
        with torch.no_grad():
            model(self.network.normalised(x.double()).clone())
        for hook in hooks:
            hook.remove()
        return seen

    def eps(self, norm: str) -> Tensor:
        """Radii that are about enough for every second example."""
        share = torch.where(torch.arange(len(self.x)) % 2 == 0, FAR, NEAR)
        return radii(norm, margin(self.logits, self.y), self.slope, *self.network.box(), self.x.double(), share)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The logit of y less the highest other, [B]."""
    logits = logits.double()
    own = torch.nn.functional.one_hot(y, logits.shape[1]).bool()
    lead = logits[own] - logits.masked_fill(own, -torch.inf).amax(1)
    return torch.where(logits.isnan().any(1) | (logits == torch.inf).any(1), torch.nan, lead)


def radii(norm: str, gap: Tensor, slope: Tensor, low: Tensor, high: Tensor, x: Tensor, share: Tensor) -> Tensor:
    """That share of the distance at which a linear network would err, [B]; in L0 of the numbers that it takes."""
    slope = rows(slope).nan_to_num(0)
    if norm != "l0":
        dual = {"l1": torch.inf, "l2": 2, "linf": 1}[norm]
        return share * gap / torch.linalg.vector_norm(slope, dual, dim=1).clamp_min(1e-30)
    low, high = (bound.clamp(-1e3, 1e3) for bound in (low, high))
    gain = torch.maximum(-slope * rows(low - x), -slope * rows(high - x))
    needed = (gain.sort(1, descending=True).values.cumsum(1) < gap[:, None]).sum(1) + 1
    return (share * needed).clamp_min(1).floor()


def rows(x: Tensor) -> Tensor:
    """[B, n], also of inputs that are numbers."""
    return x.reshape(len(x), -1)


def sizes(norm: str, x: Tensor, start: Tensor) -> Tensor:
    """How far each input is from its start, [B], in float64."""
    return oracles.sizes(norm, rows(x.double() - start.double()))


def case_of(network: Network) -> Case:
    """A network with what its plain model says."""
    x, y = network.inputs()
    plain = network.plain()
    if network.no_derivative:
        with torch.no_grad():
            return Case(network, x, y, plain, plain(x), torch.ones_like(x))
    variable = x.double().clone().requires_grad_()
    logits = plain(variable)
    (slope,) = torch.autograd.grad(margin(logits, y).sum(), variable)
    return Case(network, x, y, plain, logits.detach(), slope)


@contextmanager
def untouched(model: Any, *tensors: Tensor) -> Iterator[None]:
    """The model, tensors, global generators and gradient mode are afterwards what they were."""
    before, bits = state_of(model), [(tensor.clone(), tensor._version) for tensor in tensors]
    chance = chance_state()
    yield
    assert state_of(model) == before
    assert chance_state() == chance
    assert torch.is_grad_enabled()
    for tensor, (kept, version) in zip(tensors, bits, strict=True):
        assert torch.equal(tensor, kept)
        assert (tensor._version, tensor.grad, tensor.requires_grad) == (version, None, False)


@contextmanager
def expected(network: Network) -> Iterator[None]:
    """Our own warnings about such a network are no failure; any other is."""
    with warnings.catch_warnings():
        if network.warned or network.together or network.random:
            warnings.simplefilter("ignore", UserWarning)
        yield


def assert_feasible(case: Case, norm: str, eps: Tensor, x: Tensor) -> None:
    """Inside ball and box, but for the rounding of the search's dtype."""
    low, high = case.network.box()
    width = float(torch.cat([case.x.double().abs().flatten(), x.double().abs().flatten()]).max())
    rounding = 2 * torch.finfo(case.network.search).eps * width
    assert bool(((x.double() >= low - rounding) & (x.double() <= high + rounding)).all())
    count = case.x[0].numel()
    assert bool((sizes(norm, x, case.x) <= eps.double() * (1 + 1e-6) + rounding * count).all())


def assert_judged(case: Case, result: inputopt.Result) -> None:
    """Success, logits, class and loss are what the plain model says of the very inputs that came back."""
    with torch.no_grad():
        logits = case.plain(result.x)
    lead = margin(logits, case.y)
    assert not bool(lead.isnan().any()), "a point whose logits are not finite was kept"
    assert bool((lead[result.success] <= case.slack).all())
    assert bool((lead[~result.success] >= -case.slack).all())
    assert bool(((result.prediction != case.y) == result.success).all())
    torch.testing.assert_close(result.logits.double(), logits, rtol=0, atol=case.slack)


def assert_owned(result: inputopt.Result, *given: Tensor) -> None:
    """No tensors of the result overlap in memory, and none shares it with what was passed: all may be written to."""
    fields = [value for value in vars(result).values() if isinstance(value, Tensor) and value.numel()]
    theirs = {tensor.untyped_storage().data_ptr() for tensor in given}
    assert not any(tensor.untyped_storage().data_ptr() in theirs for tensor in fields)
    spans = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in fields)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert not any(tensor.requires_grad or tensor.is_inference() for tensor in fields)
    assert not any(
        stride == 0 and size > 1 for each in fields for stride, size in zip(each.stride(), each.shape, strict=True)
    )


def assert_alike(this: Case, found: inputopt.Result, lead: Tensor) -> None:
    """As successful as a search that ended with these margins [B], where they are clear."""
    clear = lead.abs() > this.outcome_slack
    assert int(clear.sum()) >= len(lead) // 2, "too few clear cases to compare"
    assert torch.equal(found.success[clear], lead[clear] < 0)


# -------------------------------------------------------------------------------------------- what the plain model does
def plain_descent(this: Case, eps: Tensor) -> Tensor:
    """PGD in Linf, written out: the least margin [B] while descending the log-odds, or that of the first success."""
    (low, high), x0, best = this.network.box(), this.x.double(), torch.full((len(this.x),), torch.inf).double()
    radius = eps.reshape(-1, *(1,) * (x0.ndim - 1))
    x = x0
    for _ in range(STEPS + 1):
        variable = x.clone().requires_grad_()
        logits = this.plain(variable)
        lead = margin(logits.detach(), this.y)
        best = torch.where(best < 0, best, torch.minimum(best, lead.nan_to_num(torch.inf)))
        own = torch.nn.functional.one_hot(this.y, logits.shape[1]).bool()
        log_odds = logits[own] - logits.masked_fill(own, -torch.inf).logsumexp(1)
        (grad,) = torch.autograd.grad(log_odds.sum(), variable)
        x = (x - STEP * radius * grad.nan_to_num(0).sign()).clamp(x0 - radius, x0 + radius)
        x = torch.maximum(torch.minimum(x, high), low)
    return best
