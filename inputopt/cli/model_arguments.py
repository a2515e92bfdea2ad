"""The model options of the command line: load or build the named network, freeze it, and try it on one input."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.cli.parsing import bounds, numbers, positives
from inputopt.errors import one_line, out_of_memory
from inputopt.files import FileError, reading
from inputopt.nets.frozen import Frozen
from inputopt.nets.naming import named
from inputopt.nets.network_facts import facts_of
from inputopt.nets.store import MissingArchitectureError
from inputopt.zoo.imagenet import SCALES
from inputopt.zoo.library import load, shipped

Found = nn.Module | Frozen | Callable[[Tensor], Any]
HELP = (
    "a network of `inputopt models`, a file of weights with an architecture, or mynet.py:make or package.module:make: "
    "a function that returns a torch module (give --mean and --std if it takes normalised inputs) or a Frozen"
)


def add_network(command: argparse.ArgumentParser) -> None:
    """Add the network as a positional argument, and the options for its inputs."""
    command.add_argument("model", help=HELP)
    group = command.add_argument_group("inputs of your own model")
    group.add_argument(
        "--mean", type=numbers, help="mean subtracted from the inputs: a number, or one per channel: .5,.5,.5 (none)"
    )
    group.add_argument(
        "--std", type=positives, help="standard deviation that divides the inputs: a number, or one per channel (none)"
    )
    group.add_argument(
        "--bounds", type=bounds, help="lowest and highest input value: 0,1, or one per channel: 0,0,0:1,1,255 (0,1)"
    )


def find_network(options: argparse.Namespace) -> Frozen:
    """The network of the options, frozen.

    Raises:
        ValueError, FileError: there is no such network, its code failed, or settings are given for a `Frozen`.
    """
    made = find_model(options.model)
    if isinstance(made, Frozen):
        given = [f"--{name}" for name in ("mean", "std", "bounds") if getattr(options, name) is not None]
        if given:
            raise ValueError(f"{options.model} is a Frozen, which has its own settings; omit {given[0]}.")
        if options.device is not None:
            raise ValueError(f"{options.model} is a Frozen, which has its own device; omit --device.")
        return made
    if options.mean and options.std and len({len(options.mean), len(options.std)} - {1}) > 1:
        raise ValueError("--mean and --std have different lengths; give each one number, or one per channel.")
    settings = {name: _single(getattr(options, name)) for name in ("mean", "std") if getattr(options, name)}
    if options.bounds is not None:
        settings["bounds"] = _per_channel(*options.bounds)
    elif (columns := facts_of(made).columns) is not None:  # the range of each column of the table it was trained on
        settings["bounds"] = torch.tensor(columns.low), torch.tensor(columns.high)
    if options.device is not None:
        made = on_device(options, made)
    with using(f"{options.model} cannot be used"):
        net = Frozen(made, **settings)
    net.name = net.name or options.model  # a function has no name that is remembered
    return net


def on_device(options: argparse.Namespace, model: Found) -> Found:
    """Move a module to --device.

    Raises:
        ValueError: there is no such device, or the model is a function.
    """
    device = find_device(options.device)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{options.model} is a function, which cannot be moved; omit --device.")
    with using(f"{options.model} cannot be moved to {options.device}"):
        return model.to(device)


def find_device(name: str) -> torch.device:
    """The device of this name, after checking that it can hold a tensor.

    Raises:
        ValueError: there is no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device must be cpu, cuda, cuda:1 or another device of torch, not {name!r}.") from error
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {name} is not available here ({one_line(error)}); omit it or give cpu.") from error
    return device


def check_cpu(options: argparse.Namespace) -> None:
    """Check the device of a verb whose computations run on the CPU only.

    Raises:
        ValueError: --device is another device.
    """
    if options.device is not None and find_device(options.device).type != "cpu":
        raise ValueError(f"{options.command} computes on the CPU only; omit --device.")


def _single(values: list[float]) -> Any:
    return values[0] if len(values) == 1 else values


def _per_channel(low: list[float], high: list[float]) -> tuple[Any, Any]:
    if len(low) == 1:
        return low[0], high[0]
    return torch.tensor(low), torch.tensor(high)


def check_name(name: str) -> None:
    """Check that a shipped network or a file of this name exists, before anything is loaded.

    Raises:
        ValueError, FileError: there is none.
    """
    if name.endswith(".py"):
        raise ValueError(f"{name} is Python code; name the function in it that returns the model, such as {name}:make.")
    if not any(sign in name for sign in ":/\\."):
        if Path(f"{name}.py").is_file():
            raise ValueError(f"{name}.py is Python code; name the function in it, such as {name}.py:make.")
        checks.one_of("model", name, [*shipped(), *SCALES])
    elif _is_code(name) and name.rpartition(":")[0].endswith(".py") and not Path(name.rpartition(":")[0]).is_file():
        raise FileError(f"There is no file {name.rpartition(':')[0]}; check the name.")
    elif not _is_code(name) and not Path(name).is_file():
        raise FileError(f"There is no file {name}; check the name.")


def _is_code(name: str) -> bool:
    """Whether a name is that of a function, in a module of the working directory or in a .py file anywhere."""
    place, colon, _ = name.rpartition(":")
    return bool(colon) and (place.endswith(".py") or ("/" not in name and "\\" not in name))


def find_model(name: str) -> Found:
    """A shipped network, one from a file, or the value or result of `package.module:function`.

    Raises:
        ValueError, FileError: there is no such network, or its code failed.
    """
    check_name(name)
    place, _, function = name.rpartition(":")
    if _is_code(name):
        made = _built(name, place, function)
        return named(made, name) if isinstance(made, nn.Module) else made
    if not any(sign in name for sign in "/\\."):
        return load(name)
    try:
        with reading(name, "a network"):
            return load(name)
    except MissingArchitectureError as error:
        raise FileError(
            f"{name} contains weights without an architecture; write a function that builds the network and loads the "
            "weights, and give it as module:function."
        ) from error


def _built(name: str, place: str, function: str) -> Found:
    """The named object of a module if it is a model, else the result of calling it."""
    folder = Path.cwd()
    if place.endswith(".py"):
        folder, place = folder / Path(place).parent, Path(place).stem
    with _importable(folder), contextlib.redirect_stdout(sys.stderr):  # stdout is for results only
        with using(f"Cannot import {place!r}"):
            module = importlib.import_module(place)
        try:
            found: Any = functools.reduce(getattr, function.split("."), module)
        except AttributeError as error:
            near = difflib.get_close_matches(function, vars(module), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "check the name."
            raise ValueError(f"{place} has no {function!r}; {hint}") from error
        if isinstance(found, (nn.Module, Frozen)):
            return found
        if not callable(found):
            raise ValueError(f"{name} must be a function that returns a model, not {type(found).__name__}.")
        _check_needs_nothing(name, found)
        with using(f"{name} failed"):
            made = found()
    if isinstance(made, (nn.Module, Frozen)) or (callable(made) and not isinstance(made, type)):
        return made
    what = f"the class {made.__name__}" if isinstance(made, type) else type(made).__name__
    raise ValueError(f"{name} must return a torch module, a Frozen or a function of inputs, not {what}.")


def _check_needs_nothing(name: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return
    try:
        signature.bind()
    except TypeError as error:
        raise ValueError(
            f"{name} cannot be called without arguments ({one_line(error)}); give one that can."
        ) from error


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Inside the block, modules in the folder can be imported."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the module may have changed the path itself
            sys.path.remove(str(folder))


@contextlib.contextmanager
def using(what: str) -> Iterator[None]:
    """Run user code inside the block; its errors, also `sys.exit`, become one sentence that begins with `what`.

    Raises:
        ValueError: the code raised any exception except KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, Exception) and out_of_memory(error):
            raise ValueError(f"{what}: there is not enough memory.") from error
        raise ValueError(f"{what} ({type(error).__name__}: {one_line(error)}).") from error


def answer(net: Frozen, x: Tensor) -> Tensor:
    """Logits of the first input, [1, n]; used to check before any work that the model accepts the inputs.

    Raises:
        ValueError: the model does not accept them, or its own code failed.
    """
    with torch.no_grad():
        return net(x[:1])
