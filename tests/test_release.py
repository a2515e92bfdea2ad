"""The release files: one version everywhere, the licence in its words, and links that lead somewhere."""

import hashlib
import re
from pathlib import Path

import pytest

import inputopt

ROOT = Path(__file__).parents[1]
APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the text of the Apache License 2.0, as the foundation publishes it."""
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.+)"$'),
        ("CHANGELOG.md", r"^## \[(\d.+?)\]"),  # the first heading of a version is the newest
        ("CITATION.cff", r"^version: (.+)$"),
    ],
)
def test_the_version_is_the_same_everywhere(name, pattern):
    assert re.search(pattern, text(name), re.MULTILINE)[1] == inputopt.__version__


def test_the_release_dates_agree():
    (released,) = re.findall(r"^date-released: (.+)$", text("CITATION.cff"), re.MULTILINE)
    assert f"## [{inputopt.__version__}] - {released}" in text("CHANGELOG.md")


def test_versions_of_the_changelog_descend():
    versions = [
        tuple(map(int, each.split("."))) for each in re.findall(r"^## \[([\d.]+)\]", text("CHANGELOG.md"), re.M)
    ]
    assert versions
    assert versions == sorted(versions, reverse=True)


def test_the_licence_is_verbatim_and_named_everywhere():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE
    assert 'license = "Apache-2.0"' in text("pyproject.toml")
    assert "license: Apache-2.0" in text("CITATION.cff")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    made = ("story_figures/", "api/")  # by the documentation's build
    paths = [target.split("#")[0] for target in targets if not target.startswith(("#", "https://", *made))]
    assert [path for path in paths if not (page.parent / path).exists()] == []
