"""Small networks that are easily got wrong, and what the plain network says: shared by the tests of this folder."""

import torch
from torch import Tensor, nn

import inputopt

X = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(7))


class Net(nn.Module):
    """A convolution, a batch norm with statistics, a rectifier and a linear layer on [B, 3, 8, 8]; 4 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        self.head = nn.Linear(8, 4)

    def body(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def seeded(make, seed: int = 0) -> nn.Module:
    """What `make` makes, in evaluation mode, its weights drawn from a seed and its norms as after a training."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    net = make()
    for norm in (module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)):
        if norm.running_mean is not None:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        if norm.weight is not None:
            norm.weight.data.uniform_(0.5, 2)
            norm.bias.data.normal_()
    net.eval()
    torch.set_rng_state(state)
    return net


def logits_of(outputs) -> Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def slope(model, x: Tensor, derive=lambda value, y: torch.autograd.grad(value.sum(), y)[0]) -> Tensor:
    """The derivative of a combination of the logits by the inputs."""
    y = x.clone().requires_grad_()
    logits = logits_of(model(y))
    return derive((logits * torch.arange(1.0, logits.shape[1] + 1, dtype=logits.dtype)).sum(1), y)


def assert_as_plain(
    model: nn.Module,
    x: Tensor = X,
    within: float = 2e-5,
    frozen: inputopt.Frozen | None = None,
    alone: bool = True,
) -> inputopt.Frozen:
    """Frozen, a model in evaluation mode says what it says by itself, with and without gradients; returns it frozen."""
    frozen = inputopt.Frozen(model) if frozen is None else frozen
    with torch.no_grad():
        for rows in (x[:1], x) if alone else (x,):
            expected = logits_of(model(rows.clone())).detach().float()
            torch.testing.assert_close(frozen(rows), expected, rtol=within, atol=within)
    found, wanted = slope(frozen, x, frozen.gradient), slope(lambda y: model(y.clone()), x)
    torch.testing.assert_close(found, wanted, rtol=within, atol=within * float(wanted.abs().max()))
    return frozen
