"""What every verb has in common: its example runs, its flags are there, and --json prints nothing but JSON."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from photos import photo as path_of
from PIL import Image
from verb_parsers import verb_parser, verb_parsers

from inputopt.bounds.certify import NORMS as CERTIFIED
from inputopt.cli.main import main
from inputopt.cli.norm_argument import MEASURED
from inputopt.cli.verbs import VERBS
from inputopt.search.norms import NORMS

LONG = {"demo", "reproduce", "app"}
"""Verbs whose example takes a minute or does not end; tests/cli/test_cli.py and tests/app run them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    with Image.open(path_of("chelsea.png")) as photo:
        small = photo.convert("RGB").resize((96, 80))
    small.save(folder / "photo.jpg")
    (folder / "photos").mkdir()
    for name in ("a", "b"):
        small.rotate(90 * (name == "b")).resize((96, 80)).save(folder / "photos" / f"{name}.jpg")
    random = np.random.default_rng(0)
    lines = [f"{random.normal(3 * (row % 2)):.3f},{random.normal():.3f},{'ab'[row % 2]}" for row in range(40)]
    (folder / "table.csv").write_text("\n".join(["width,height,kind", *lines]), encoding="utf-8")
    return folder


def test_every_verb_has_the_common_flags_and_an_example():
    for name, parser in verb_parsers().items():
        assert {"--seed", "--device", "--out", "--json", "--quiet", "--help"} <= set(parser._option_string_actions), (
            name
        )
        assert VERBS[name].example in parser.format_help(), name
        assert shlex.split(VERBS[name].example)[:2] == ["inputopt", name]


def test_a_flag_means_the_same_everywhere():
    said = {}
    for parser in verb_parsers().values():
        for flag in ("--seed", "--device", "--json", "--quiet", "--mean", "--std", "--bounds"):
            if flag in parser._option_string_actions:
                said.setdefault(flag, set()).add(parser._option_string_actions[flag].help)
    for texts in said.values():
        texts.discard(argparse.SUPPRESS)  # of `repeat`, which refuses them
    assert all(len(texts) == 1 for texts in said.values()), said


def test_help_says_what_every_norm_measures():
    for verb, norms in {"evaluate": NORMS, "attack": NORMS, "nearest": NORMS, "certify": CERTIFIED}.items():
        shown = " ".join(verb_parser(verb).format_help().split())
        assert [name for name, what in MEASURED.items() if f"{name}: {what}" in shown] == [
            name for name in MEASURED if name in norms
        ]
    assert set(MEASURED) == set(NORMS)


@pytest.mark.parametrize("name", [name for name in VERBS if name not in LONG])
def test_the_example_runs_and_json_is_all_that_it_prints(name, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    if name == "repeat" and not (folder / "out" / "dream.png").exists():
        assert main(shlex.split(VERBS["dream"].example)[1:]) == 0
    capsys.readouterr()
    assert main([*shlex.split(VERBS[name].example)[1:], "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    values = json.loads(printed.out)
    assert isinstance(values, dict)
    assert all((folder / path).exists() for path in values["files"])
    assert "Traceback" not in printed.err


def test_verbs_that_only_print_write_their_values_if_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["gradcheck", "--sizes", "2,2", "--out", "o"]) == 0
    assert "wrote o/gradcheck.json" in capsys.readouterr().out
    assert {row["method"] for row in json.loads((tmp_path / "o/gradcheck.json").read_text())["methods"]} >= {"backprop"}


def test_quiet_prints_the_results_without_the_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["attack", "digits-mlp", "--count", "4", "--steps", "2", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert "median distance" in printed.out
    assert "wrote" not in printed.out
    assert printed.err == ""


def test_flags_and_positionals_may_come_in_any_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = []
    for line in (
        "attack digits-mlp digits --attack pgd --count 4 --json",
        "attack --attack pgd --count=4 --json digits-mlp digits",
        "attack --json digits-mlp --count 4 digits --attack pgd",
    ):
        assert main(line.split()) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] == found[2]


def test_help_and_version_do_not_import_torch():
    code = (
        "import sys\nfrom inputopt.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert main(['dreem']) == 2\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), sys.modules.keys()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr
    assert "did you mean 'dream'" in found.stderr


@pytest.mark.parametrize(
    ("device", "said"),
    [("cuda:99", "is not available here"), ("nothing", "must be cpu, cuda, cuda:1 or")],
)
def test_a_device_that_is_not_there_is_a_sentence(device, said, capsys):
    for line in ("attack digits-mlp --count 2", "gradcheck", "train mlp x.csv"):
        assert main([*line.split(), "--device", device]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert device in error


def test_verbs_without_a_model_compute_on_the_cpu(capsys):
    assert main(["explain", "--device", "cpu", "--quiet"]) == 0
    assert main(["explain", "--device", "meta", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("inputopt: ")


def completions_of(script, shell):
    """{verb: (summary, flags)} of the completion script of zsh or fish, by the quoting rules of that shell."""
    if shell == "zsh":
        summaries = dict(each.split(":", 1) for each in shlex.split(re.search(r"verbs=\((.*?)\n  \)", script, re.S)[1]))
        arms = re.findall(r"^    (\S+)\) words_=\((.*)\) ;;$", script, re.M)
        return {name: (summaries.pop(name), flags.split()) for name, flags in arms} | summaries
    verbs = re.findall(
        r"^complete -c inputopt -f -n __fish_use_subcommand -a (\S+) -d '((?:[^'\\]|\\')*)'$", script, re.M
    )
    flags = re.findall(r"^complete -c inputopt -n '__fish_seen_subcommand_from (\S+)' -l (\S+)$", script, re.M)
    assert len(verbs) + len(flags) + 1 == len(script.splitlines()), "every line but the comment is one of the two"
    return {name: (text.replace("\\'", "'"), [f"--{flag}" for of, flag in flags if of == name]) for name, text in verbs}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_scripts_have_exactly_the_verbs_with_their_summaries_and_flags(shell, capsys):
    """Both were also tried in zsh 5.9 and fish 3.6; the tests do not need these shells."""
    assert main(["completion", shell, "--quiet"]) == 0
    assert completions_of(capsys.readouterr().out, shell) == {
        name: (VERBS[name].summary, sorted(flag for flag in parser._option_string_actions if flag.startswith("--")))
        for name, parser in verb_parsers().items()
    }


def test_bash_completes_verbs_and_flags(capsys, tmp_path):
    bash = shutil.which("bash")
    main(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out, encoding="utf-8")

    def completed(*words):
        quoted = " ".join(map(shlex.quote, words))
        line = f"source ./script; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _inputopt; echo ${{COMPREPLY[@]}}"
        return subprocess.run(
            [bash, "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.split()

    assert completed("inputopt", "ev") == ["evaluate", "evolve"]
    assert completed("inputopt", "attack", "--ep") == ["--eps"]
    for name, parser in verb_parsers().items():
        flags = sorted(flag for flag in parser._option_string_actions if flag.startswith("--"))
        assert completed("inputopt", name, "--") == flags


def test_help_lists_no_flag_that_a_verb_always_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = verb_parsers()["repeat"].format_help()
    assert "--seed" not in text
    assert "--device" not in text
    assert main(["repeat", "a.png", "--seed", "3"]) == 2
    assert "omit --seed and --device" in capsys.readouterr().err


def test_every_option_shows_its_default():
    for name, parser in verb_parsers().items():
        for action in parser._actions:
            if not action.option_strings or action.required or action.nargs == 0 or action.help == argparse.SUPPRESS:
                continue
            assert re.search(r"\(.*\)", action.help), (name, action.option_strings)
            if isinstance(action.default, (str, int, float)) and action.dest != "seed":
                shown = action.help % {"default": action.default}
                assert str(action.default) in shown or f"{action.default:g}" in shown, (name, action.option_strings)
