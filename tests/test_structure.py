"""Structure of the package: module names and lengths, and what public docstrings must say. Part of `make check`."""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

import inputopt
import inputopt.search

ROOT = Path(__file__).parents[1] / "inputopt"
SOURCES = sorted(ROOT.rglob("*.py"))
LONGEST = 300
SHAPE = re.compile(r"\[[^\]]*\]|\([CBHW], |scalar|number")
YEAR = re.compile(r"\b(19|20)\d\d\b")


def public():
    """(name, object) of everything exported."""
    for package in (inputopt, inputopt.attacks, inputopt.search):
        for name in package.__all__:
            yield pytest.param(getattr(package, name), id=f"{package.__name__}.{name}")


def test_no_module_name_is_used_twice():
    names = Counter(path.stem for path in SOURCES if path.stem not in ("__init__", "__main__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_file_is_too_long():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_every_module_says_what_it_holds():
    for path in SOURCES:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text, path
        assert text.splitlines()[0].endswith((".", ":")), path
        assert "?" not in text.splitlines()[0], path


def test_every_published_attack_cites_its_paper():
    for name in inputopt.attacks.__all__:
        kind = getattr(inputopt.attacks, name)
        own = inspect.getdoc(kind) + (inspect.getdoc(inspect.getmodule(kind)) or "")
        assert YEAR.search(own) or name in OURS, name


OURS = {"Decisions", "EpsilonBisection", "MinimalNorm", "MultiTargeted", "Round"}
"""Made here, of published parts."""


@pytest.mark.parametrize("value", list(public()))
def test_a_public_docstring_gives_shapes_and_errors(value):
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return
    call = value.__dict__.get("__call__") if inspect.isclass(value) else value
    texts = [inspect.getdoc(value) or "", inspect.getdoc(call) or ""] if call else [inspect.getdoc(value) or ""]
    text = "\n".join(texts)
    assert text
    if not inspect.isfunction(call):
        return
    annotations = " ".join(str(each) for each in call.__annotations__.values())
    assert "Tensor" not in annotations or SHAPE.search(text), "tensors without a shape"
    raised = {
        node.exc.func.id
        for node in ast.walk(ast.parse(_source(call)))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    for error in raised:
        assert error in text or "Raises" in text, f"raises {error} and does not say so"


def _source(code):
    lines, _ = inspect.getsourcelines(code)
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "".join(line[indent:] if line.strip() else line for line in lines)
