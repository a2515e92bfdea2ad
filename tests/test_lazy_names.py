"""Public names load at first use, each with the modules that define it and no others."""

import compileall
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import inputopt
import inputopt.search
from inputopt import api
from inputopt.attacks import attacks_api
from inputopt.lazy_names import defining_modules
from inputopt.search import search_api

PACKAGES = [(inputopt, api), (inputopt.attacks, attacks_api), (inputopt.search, search_api)]

PARTS = {path.name for path in Path(inputopt.__file__).parent.iterdir() if path.is_dir()}
HEAVY = {"PIL", "matplotlib", "sklearn", "mlxtend"}
"""Libraries for images and plots, and the digits' packages; tqdm is absent because torch loads it."""

USES = {
    "import inputopt": set(),
    "import inputopt; dir(inputopt)": set(),
    "import inputopt; inputopt.attacks; inputopt.search": {"attacks", "search"},
    "import inputopt; inputopt.MLP; inputopt.Frozen": {"nets"},
    "import inputopt; inputopt.load; inputopt.save": {"nets", "zoo"},
    "import inputopt; inputopt.gradients": {"nets", "derivatives"},
    "import inputopt; inputopt.train": {"nets", "derivatives", "training"},
    "import inputopt; inputopt.attacks.PGD": {"nets", "search", "attacks"},
    "from inputopt.attacks import PGD": {"nets", "search", "attacks"},
    "from inputopt.search import optimise": {"nets", "search"},
    "import inputopt; inputopt.fool": {"nets", "search", "pictures"},
}
"""The parts of the package that each statement may load."""

MEASURE = """
import json, sys, torch
loaded = {}
for code in json.loads(sys.argv[1]):
    before = set(sys.modules)
    exec(code, {})
    loaded[code] = sorted(set(sys.modules) - before)
    for name in loaded[code]:
        if name.partition(".")[0] == "inputopt":
            del sys.modules[name]
print(json.dumps(loaded))
"""


def test_a_name_loads_no_other_part_of_the_package_and_nothing_for_images_or_plots():
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(list(USES))], capture_output=True, text=True, check=True
    )
    for code, names in json.loads(run.stdout).items():
        parts = {name.split(".")[1] for name in names if name.startswith("inputopt.")} & PARTS
        assert parts == USES[code], code
        assert {name.partition(".")[0] for name in names} & HEAVY == set(), code
    pgd = json.loads(run.stdout)["import inputopt; inputopt.attacks.PGD"]
    assert "inputopt.attacks.pgd" in pgd
    assert not {"inputopt.attacks.apgd", "inputopt.attacks.square", "inputopt.attacks.attacks_api"} & set(pgd)


@pytest.mark.parametrize(("package", "listing"), PACKAGES)
def test_a_listing_imports_what_it_exports_from_where_it_is_defined(package, listing):
    assert set(defining_modules(listing.__name__)) == set(listing.__all__) == set(package.__all__)
    for name in listing.__all__:
        assert getattr(package, name) is getattr(listing, name)
        assert name in dir(package)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        _ = package.nothing


def test_star_imports_and_pickles_work():
    names = {}
    exec("from inputopt import *", names)
    assert set(api.__all__) <= set(names)
    assert pickle.loads(pickle.dumps(inputopt.attacks.PGD)) is inputopt.attacks.PGD
    assert pickle.loads(pickle.dumps(inputopt.attacks.PGD(eps=0.2))) == inputopt.attacks.PGD(eps=0.2)


PACKAGE = {
    "__init__.py": "from inputopt.lazy_names import lazy_names\n"
    "__getattr__, __dir__ = lazy_names(__name__, listing=__name__ + '.listing')\n",
    "listing.py": "from {0} import folder\nfrom {0}.one import number\nfrom {0}.two import word\n"
    "__all__ = ['folder', 'number', 'word']\n",
    "one.py": "number = 1\n",
    "two.py": "word = 'two'\n",
    "folder/__init__.py": "",
}


@pytest.mark.parametrize("with_source", [True, False])
def test_a_package_may_be_installed_without_its_source(with_source, tmp_path, monkeypatch):
    name = "lazy_with_source" if with_source else "lazy_without_source"
    for path, text in PACKAGE.items():
        (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / path).write_text(text.format(name) if path == "listing.py" else text, encoding="utf-8")
    if not with_source:
        assert compileall.compile_dir(tmp_path / name, legacy=True, quiet=1)
        for path in (tmp_path / name).rglob("*.py"):
            path.unlink()
    monkeypatch.syspath_prepend(tmp_path)
    package = importlib.import_module(name)
    assert package.number == 1
    assert f"{name}.two" not in sys.modules or not with_source
    assert (package.word, package.folder.__name__) == ("two", f"{name}.folder")
    assert package.__all__ == ["folder", "number", "word"]
