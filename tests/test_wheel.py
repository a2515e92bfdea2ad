"""The wheel: built, installed away from the checkout, and run there; the sdist: built, and whole."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import inputopt

CHECKOUT = Path(inputopt.__file__).parents[1]
STRAYS = ["models", "_models", "tests", "demos", "benchmarks", "contracts"]


def run(*command, folder, status=0):
    """What a command printed, run in a folder and without what the tests' own environment brings along."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL", "PIP"))}
    found = subprocess.run(
        [str(part) for part in command], cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == status, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, CHECKOUT, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of an environment that has the wheel, and the dependencies of this one but not this one's inputopt."""
    folder = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    # a .pth file is not followed into further ones, so the editable install stays unseen
    (packages,) = folder.glob("lib/python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(sorted(paths)) + "\n")
    return folder


def test_the_wheel_holds_the_package_and_the_models_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        tops = {name.split("/")[0] for name in names}
        assert tops == {"inputopt", f"inputopt-{inputopt.__version__}.dist-info"}
        assert not [name for name in names if name.endswith((".pyc", ".pyo")) or "__pycache__" in name]
        inside = {name for name in names if name.startswith("inputopt/") and "/_models/" not in name}
        for path in (CHECKOUT / "models").rglob("*"):
            if path.is_file():
                assert archive.read(f"inputopt/_models/{path.relative_to(CHECKOUT / 'models')}") == path.read_bytes()
    package = [
        path for path in (CHECKOUT / "inputopt").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert inside == {str(path.relative_to(CHECKOUT)) for path in package}
    models = {Path(name).suffix for name in names if name.startswith("inputopt/_models/")}
    assert models == {".safetensors", ".md"}
    assert "inputopt/py.typed" in inside


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, folder=CHECKOUT)
    (built,) = folder.glob("*.tar.gz")
    return built


def test_the_metadata_of_both_is_accepted(wheel, sdist):
    printed = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", wheel, sdist, folder=CHECKOUT)
    assert printed.count("PASSED") == 2


def test_the_wheel_carries_its_licence(wheel):
    info = f"inputopt-{inputopt.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"{info}/licenses/LICENSE") == (CHECKOUT / "LICENSE").read_bytes()
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nAuthor: inputopt developers\n" in metadata


def test_the_sdist_holds_what_builds_tests_and_documents_the_package(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = {name.partition("/")[0] for name in names if "/" in name}
    assert {"inputopt", "models", "tests", "demos", "docs", "benchmarks"} <= folders
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt"} <= names
    assert not folders & {".venv", "out", "dist"}
    assert not [name for name in names if name.endswith(".pyc")]


LOOK = f"""
import json
from importlib.util import find_spec
print(json.dumps([name for name in {STRAYS} if find_spec(name)]))
import inputopt
from inputopt.zoo.library import load, models_folder
print(json.dumps([inputopt.__file__, inputopt.__version__, str(models_folder()), load("digits-mlp").sizes]))
"""


def test_the_installed_package_and_its_networks_are_found_and_nothing_else(installed, tmp_path):
    strays, found = map(json.loads, run(installed / "bin/python", "-c", LOOK, folder=tmp_path).splitlines())
    path, version, models, sizes = found
    assert strays == []
    assert Path(path).resolve().is_relative_to(installed.resolve())
    assert version == inputopt.__version__
    assert models.startswith(str(installed))
    assert models.endswith("inputopt/_models")
    assert sizes == [784, 128, 10]


def test_nothing_else_is_installed(installed):
    (packages,) = installed.glob("lib/python*/site-packages")
    info = f"inputopt-{inputopt.__version__}.dist-info"
    assert {path.name for path in packages.iterdir()} == {"inputopt", info, "dependencies.pth"}


def test_the_console_script_runs(installed, tmp_path):
    command = installed / "bin" / "inputopt"
    text = run(command, "fool", "digits-mlp", "--target", 3, "--count", 2, "--out", "pictures", folder=tmp_path)
    assert "2 of 2" in text
    assert sorted(path.name for path in (tmp_path / "pictures").glob("*.png")) == ["fool-all.png", "fool.png"]
