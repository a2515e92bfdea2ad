"""A faster private copy of a network that only answers: batch norms folded into the convolutions before them."""

from __future__ import annotations

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from inputopt.nets.inference.rectifier import written_over

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
RECTIFIERS = (nn.ReLU, nn.ReLU6)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(model: nn.Module) -> tuple[nn.Module, frozenset[str]]:
    """A copy with every batch norm folded that directly follows a convolution, and the names that changed their output.

    The names of all modules stay: a folded norm becomes an identity, and puts out what it did; the convolution before
    it puts out something else. A ReLU that alone follows a folded norm writes over what the norm put out, which saves a
    quarter of the memory that a gradient needs; the norm's name is then one of those that changed. A model whose
    forward cannot be traced is returned as it is.
    """
    pairs = _pairs(model)
    if not pairs:
        return model, frozenset()
    copied = copy.deepcopy(model)
    changed = set()
    for convolution, norm, rectifier in pairs:
        before, after = copied.get_submodule(convolution), copied.get_submodule(norm)
        _replace(copied, convolution, fuse_conv_bn_eval(before, after).requires_grad_(False))  # type: ignore[type-var, arg-type]
        _replace(copied, norm, nn.Identity())
        changed.add(convolution)
        if rectifier is not None:
            _replace(copied, rectifier, written_over(copied.get_submodule(rectifier)))
            changed.add(norm)
    return copied, frozenset(changed)


def _pairs(model: nn.Module) -> list[tuple[str, str, str | None]]:
    """(convolution, batch norm, ReLU or None) by name, each alone in seeing what the one before puts out, once."""
    modules = dict(model.named_modules())
    if not any(isinstance(module, NORMS) for module in modules.values()):
        return []
    try:
        nodes = list(fx.Tracer().trace(model).nodes)
    except Exception:  # a forward with branches, or anything else that cannot be traced, is left unfolded
        return []
    calls = [str(node.target) for node in nodes if node.op == "call_module"]
    return [
        (str(node.args[0].target), str(node.target), _rectifier(node, modules, calls))
        for node in nodes
        if node.op == "call_module"
        and isinstance(modules[str(node.target)], NORMS)
        and isinstance(node.args[0], fx.Node)
        and node.args[0].op == "call_module"
        and isinstance(modules[str(node.args[0].target)], CONVOLUTIONS)
        and len(node.args[0].users) == 1
        and calls.count(str(node.target)) == calls.count(str(node.args[0].target)) == 1
        and _is_plain(modules[str(node.target)], modules[str(node.args[0].target)])
    ]


def _rectifier(norm: fx.Node, modules: dict[str, nn.Module], calls: list[str]) -> str | None:
    """The ReLU that may write over what the norm puts out: its backward needs only what it puts out itself."""
    users = list(norm.users)
    if len(users) != 1 or users[0].op != "call_module":
        return None
    name = str(users[0].target)
    alone = calls.count(name) == 1 and not modules[name]._forward_pre_hooks
    return name if alone and type(modules[name]) in RECTIFIERS else None


def _is_plain(norm: nn.Module, convolution: nn.Module) -> bool:
    """Whether the norm uses gathered statistics, and no hook watches either."""
    hooks = [value for module in (norm, convolution) for value in (module._forward_hooks, module._forward_pre_hooks)]
    return getattr(norm, "running_mean", None) is not None and not any(hooks)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def prefers_channels_last(model: nn.Module) -> bool:
    """Whether the model convolves images: on a CPU, forward and backward together are quicker with the channels last.

    A rule and not a measurement at run time, so that the same call gives the same bits everywhere.
    """
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
