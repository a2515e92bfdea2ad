"""The package as a whole: what it exports, that all of it is explained, and that importing it does nothing else."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inputopt
from inputopt import api

FOLDER = Path(inputopt.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))


def modules():
    """Every module of the package but the one that runs when it is imported."""
    for found in pkgutil.walk_packages([str(FOLDER)], "inputopt."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def test_all_is_what_the_package_exports():
    exported = {name for name in vars(api) if not name.startswith("_")}
    assert exported == set(inputopt.__all__)
    assert len(set(inputopt.__all__)) == len(inputopt.__all__)


def test_subpackages_are_loaded_at_first_use():
    code = "import inputopt; assert inputopt.search.optimise; assert inputopt.attacks.PGD; inputopt.nothing"
    assert "AttributeError: module 'inputopt' has no attribute 'nothing'" in python("-c", code).stderr


def test_no_public_name_is_hidden_by_a_module():
    modules = {path.stem for path in FOLDER.iterdir()}
    assert modules & set(inputopt.__all__) == {"attacks"}, "a module would be found first"


@pytest.mark.parametrize(
    "name", ["attacks", "nets.frozen", "search.loop", "pictures.dream", "cli.commands.command_app"]
)
def test_a_module_can_be_imported_first(name):
    assert python("-c", f"import inputopt.{name}").stderr == ""


def test_importing_the_package_does_not_import_torch():
    assert python("-c", "import inputopt, sys; assert not {'torch', 'numpy'} & set(sys.modules)").returncode == 0


def test_the_contract_is_exported():
    promised = {"MLP", "train", "gradients", "save", "load", "Frozen", "fool", "ascend", "dream", "FileError"}
    assert promised <= set(inputopt.__all__)


def test_everything_exported_comes_from_the_package():
    for name in inputopt.__all__:
        value = getattr(inputopt, name)
        home = value.__name__ if inspect.ismodule(value) else value.__module__
        assert home.startswith("inputopt.")


def explained(value):
    """Whether there is a docstring that somebody wrote; dataclasses make one up."""
    text = inspect.getdoc(value) or ""
    return bool(text) and not text.startswith(f"{getattr(value, '__name__', '')}(")


def public_methods(kind):
    for name, value in vars(kind).items():
        if not name.startswith("_") and (
            inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))
        ):
            yield name, getattr(kind, name)


def defined(module, test):
    for name, value in vars(module).items():
        if test(value) and value.__module__ == module.__name__ and not name.startswith("_"):
            yield name, value


def stated_by_protocols():
    """Methods that a protocol explains, itself or in the words of its class, for all that follow it."""
    for module in modules():
        for _, kind in defined(module, inspect.isclass):
            if getattr(kind, "_is_protocol", False):
                for name, method in public_methods(kind):
                    if explained(method) or f"`{name}`" in (kind.__doc__ or ""):
                        yield name


def test_everything_public_has_a_docstring():
    stated, missing = set(stated_by_protocols()), []
    for module in modules():
        missing += [module.__name__] if not module.__doc__ else []
        for name, value in [*defined(module, inspect.isfunction), *defined(module, inspect.isclass)]:
            missing += [f"{module.__name__}.{name}"] if not explained(value) else []
            for method, code in public_methods(value) if inspect.isclass(value) else []:
                if not explained(code) and method not in stated:
                    missing.append(f"{module.__name__}.{name}.{method}")
    assert missing == []


def test_every_argument_of_many_is_explained():
    functions = [getattr(inputopt, name) for name in inputopt.__all__]
    for function in filter(inspect.isfunction, functions):
        parameters = list(inspect.signature(function).parameters)
        missing = [each for each in parameters if not re.search(rf"\b{each}\b", inspect.getdoc(function))]
        assert len(parameters) < 3 or not missing, function.__name__


def printing(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_only_the_command_line_prints():
    assert {path for path in SOURCES if "cli" not in path.parts and printing(path)} == set()


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)


LOOK = """
import random, sys, warnings
import matplotlib, numpy, torch
warnings.simplefilter("error")  # of what is let in before, nothing is meant
def state():
    return (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist(),
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), warnings.filters[:],
            numpy.geterr())
before = state()
import inputopt.api, inputopt.attacks.attacks_api, inputopt.search.search_api
assert state() == before
assert not {"mlxtend", "matplotlib.pyplot", "sklearn"} & set(sys.modules)
"""


def test_importing_prints_nothing_warns_of_nothing_and_changes_nothing():
    found = python("-c", LOOK)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_python_m_inputopt_is_the_command_line():
    found = python("-m", "inputopt", "explain", "--sizes", "2")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("inputopt: sizes")
    assert found.stderr.count("\n") == 1


def docstrings_of(module):
    """(name, docstring) of everything that a module exports, with the public methods of classes."""
    for name in module.__all__:
        value = getattr(module, name)
        yield name, inspect.getdoc(value) or ""
        for method, function in public_methods(value) if inspect.isclass(value) else ():
            yield f"{name}.{method}", inspect.getdoc(function) or ""


def test_public_docstrings_name_no_private_constant():
    """A reader of the documentation cannot look them up; numbers can be read."""
    public = (inputopt, inputopt.attacks, inputopt.search)
    known = {name for module in public for name in module.__all__}
    named = {
        (where, constant)
        for module in public
        for where, text in docstrings_of(module)
        for constant in re.findall(r"`(_[a-z]\w*|[A-Z][A-Z_0-9]{2,})`", text)
    }
    assert {(where, constant) for where, constant in named if constant not in known} == set()
