"""Every command line that the pages, notebooks, docstrings and messages show is accepted by the parser of its verb."""

import re
import shlex
from pathlib import Path

import pytest

from inputopt.cli.main import parse_words
from inputopt.cli.parser import UsageError
from inputopt.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for kind in ("*.md", "docs/**/*.md", "benchmarks/*.md", "models/*/card.md", "notebooks/*.ipynb", "demos/*.py")
    for path in ROOT.glob(kind)
)
SOURCE = sorted((ROOT / "inputopt").rglob("*.py"))
BLOCK = re.compile(r"^```(?:console|text|sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`{1,2}(inputopt [^`]+)`{1,2}")
SHORT = re.compile(rf"`((?:{'|'.join(VERBS)}) [^`]*[A-Z]{{4,}}[^`]*)`")
"""A verb and its arguments without the program's name, such as `atlas MODEL PHOTOS`, in a table that begins with it."""
PLACEHOLDERS = {
    "VERB MODEL": "attack MODEL",
    "VERB --help": "dream --help",
    "VERB": "models",
    "...": "models",
    "SHELL": "bash",
    "--flags": "--quiet",
}
"""What stands for one of several on the pages, and one of these; MODEL, DATA, PHOTO and PICTURE may be any text."""


def lines_of(text):
    """The command lines of a page: lines of a block that begin with `inputopt`, and words in backticks that do."""
    blocks = [block.replace("\\\n", " ") for block in BLOCK.findall(text)]  # a backslash continues a line
    blocks = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    inline = [" ".join(each.split()) for each in INLINE.findall(text) if "{" not in each and "\\n" not in each]
    short = [f"inputopt {each}" for each in SHORT.findall(text)]
    return [each for each in [*blocks, *inline, *short] if each.startswith("inputopt ")]


def accept(line):
    """Parse a command line; a verb alone is a mention of it, which needs no arguments."""
    for placeholder, instead in PLACEHOLDERS.items():
        line = line.replace(placeholder, instead)
    words = shlex.split(line, comments=True)[1:]
    if words[0] == "COMMAND" or (len(words) == 1 and words[0] in VERBS):
        return
    if "--help" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            parse_words(words)
    else:
        parse_words(words)


@pytest.mark.parametrize(
    "page",
    [path for path in PAGES if lines_of(path.read_text(encoding="utf-8"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_command_line_of_a_page_parses(page, capsys):
    for line in lines_of(page.read_text(encoding="utf-8")):
        accept(line)


def test_every_command_line_in_the_source_parses(capsys):
    found = [line for path in SOURCE for line in lines_of(path.read_text(encoding="utf-8"))]
    assert len(found) > 20
    for line in found:
        accept(line)


def test_wrong_command_lines_are_found():
    page = "```console\n$ inputopt saliency digits-cnn --method integrate # a comment\n```\nand `inputopt dreem x`"
    first, second = lines_of(page)
    for line in (first, second, "inputopt fool digits-mlp --targets 3"):
        with pytest.raises(UsageError):
            accept(line)
