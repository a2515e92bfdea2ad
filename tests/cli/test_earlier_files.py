"""A second run into a folder replaces the files of the first, and never touches a file that inputopt did not write."""

import json
from pathlib import Path

import pytest
from contracts import digits

from inputopt.cli.commands import command_attack
from inputopt.cli.data import data_arguments
from inputopt.cli.earlier_files import RECORD, Replaced, add_to_record, replace_earlier
from inputopt.cli.main import main
from inputopt.files import noted_files, noting_files, write_text


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_arguments, "load_digits", digits)


def files():
    return {str(path) for path in Path("out").rglob("*") if path.is_file() and path.name != RECORD}


def written(*names, text="a"):
    for name in names:
        write_text(Path("out", name), text)
    return [Path("out", name) for name in names]


def run(verb, *names, text="a"):
    return replace_earlier(verb, Path("out"), written(*names, text=text))


def test_files_of_another_run_that_are_overwritten_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = ["visualize", "digits-cnn", "--classes", "3", "--steps", "2", "--out", "o"]
    assert main(line) == 0
    assert "overwrote" not in capsys.readouterr().out
    assert main([*line, "--seed", "2"]) == 0
    assert "overwrote earlier files: visualize-3.png\n" in capsys.readouterr().out
    assert main([*line, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["files"] == ["o/visualize-3.png"]
    assert "overwrote earlier files: visualize-3.png\n" in told.err
    assert main([*line, "--json", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    Path("o/dream.png").write_bytes(b"of another program")
    assert main(["dream", "digits-cnn", "--steps", "2", "--out", "o"]) == 0
    assert "overwrote earlier files: dream.png\n" in capsys.readouterr().out


def test_a_second_run_leaves_its_own_files_only(capsys):
    line = "attack digits-mlp digits --steps 2 --eps 0.2 --count"
    assert main([*line.split(), "20"]) == 0
    assert "replaced" not in capsys.readouterr().out
    first = files()
    Path("out/attack/mine.png").write_text("not inputopt's", encoding="utf-8")
    assert main([*["saliency", "digits-mlp", "digits", "--count", "2", "--samples", "2"]]) == 0
    assert "replaced" not in capsys.readouterr().out, "of another verb"
    assert main([*line.split(), "10"]) == 0
    second = files() - {"out/attack/mine.png", "out/saliency.npz", "out/saliency.png"}
    pngs = {path for path in second if path.startswith("out/attack/") and path.endswith(".png")}
    assert (len(first), len(second), len(pngs)) == (22, 12, 10)
    assert {"out/attack/mine.png", "out/saliency.npz", "out/attack.png", "out/attack/result.json"} <= files()
    names = {row["file"] for row in json.loads(Path("out/attack/result.json").read_text())["examples"]}
    assert {path.removeprefix("out/attack/") for path in pngs} == names
    again = len(first & second)
    assert f"files were overwritten, and the {22 - again} others were removed" in capsys.readouterr().out


def test_only_unchanged_files_of_the_same_verb_are_removed():
    assert run("one", "a/b/1.txt", "2.txt", "3.txt") == Replaced(0, 0)
    assert run("two", "3.txt", "4.txt") == Replaced(0, 0)
    Path("out/2.txt").write_text("changed", encoding="utf-8")
    Path("out/9.txt").write_text("new", encoding="utf-8")
    assert run("one", "5.txt") == Replaced(0, 1)
    assert files() == {"out/2.txt", "out/3.txt", "out/4.txt", "out/5.txt", "out/9.txt"}
    assert not Path("out/a").exists(), "empty folders go too"
    assert run("one", "5.txt", "6.txt") == Replaced(1, 0)
    assert str(Replaced(1, 0)) == "replaced the results of an earlier run: 1 file was overwritten"


def test_a_file_that_was_replaced_by_the_user_at_the_same_size_is_kept():
    run("one", "1.txt", text="aaaa")
    Path("out/1.txt").unlink()
    Path("out/1.txt").write_text("mine", encoding="utf-8")
    assert run("one", "2.txt") == Replaced(0, 0)
    assert Path("out/1.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["../kept.txt", "/kept.txt", "link/kept.txt", "linked.txt"])
def test_a_record_cannot_name_files_outside_of_its_folder(name, tmp_path):
    kept = tmp_path / "elsewhere" / "kept.txt"
    write_text(kept, "kept")
    write_text(tmp_path / "kept.txt", "kept")
    run("one", "1.txt")
    Path("out/link").symlink_to(kept.parent)
    Path("out/linked.txt").symlink_to(kept)
    name = str(kept) if name.startswith("/") else name
    state = Path("out", name).stat()
    Path("out", RECORD).write_text(json.dumps({"one": {name: [state.st_size, state.st_mtime_ns]}}), encoding="utf-8")
    assert run("one", "1.txt").removed == 0
    assert kept.exists()
    assert (tmp_path / "kept.txt").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"one": 3}', "{", '{"one": {"1.txt": "x"}}'])
def test_a_damaged_record_is_no_reason_to_remove_anything(text):
    run("one", "1.txt")
    Path("out", RECORD).write_text(text, encoding="utf-8")
    assert run("one", "2.txt") == Replaced(0, 0)
    assert files() == {"out/1.txt", "out/2.txt"}


def test_files_of_an_interrupted_run_are_removed_by_the_next(monkeypatch, capsys):
    def interrupted(*given):
        raise KeyboardInterrupt

    line = ["attack", "digits-mlp", "digits", "--steps", "1", "--count", "4"]
    with monkeypatch.context() as patch:
        patch.setattr(command_attack, "save_pairs", lambda *given: written("half.txt"))
        patch.setattr(command_attack, "finish", interrupted)
        assert main(line) == 130
    assert "out/half.txt" in files()
    assert main(line) == 0
    assert "out/half.txt" not in files()


def test_an_interrupted_run_keeps_the_files_of_the_one_before():
    run("one", "1.txt")
    add_to_record("one", Path("out"), written("2.txt"))
    assert files() == {"out/1.txt", "out/2.txt"}
    assert run("one", "3.txt") == Replaced(0, 2)


def test_written_files_are_noted_in_the_innermost_context():
    write_text("a.txt", "a")
    assert noted_files() == []
    with noting_files():
        write_text("b.txt", "b")
        with noting_files():
            write_text("c.txt", "c")
            assert noted_files() == [Path("c.txt")]
        assert noted_files() == [Path("b.txt")]
    assert noted_files() == []


def test_pictures_that_are_named_after_what_they_show_stay(capsys):
    for classes in ("3", "5"):
        line = f"visualize digits-cnn --grey --size 28 --steps 1 --quality draft --classes {classes}"
        assert main(line.split()) == 0
    assert {"out/visualize-3.png", "out/visualize-5.png"} <= files()
