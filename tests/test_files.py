import errno
import os
import resource
import stat

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from safetensors import SafetensorError

import inputopt
from inputopt import FileError
from inputopt.files import check_writable, reading, replacing, save_figure, write_text


def test_a_text_is_written_whole_and_nothing_else_is_left(tmp_path):
    write_text(tmp_path / "a" / "b" / "note.txt", "drei Äpfel\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "drei Äpfel\n".encode()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["note.txt"]


def test_a_failure_inside_the_block_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "net.bin"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half of the ne")
            raise KeyError("in the middle")

    with pytest.raises(KeyError, match="in the middle"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_sees_the_new_content_before_the_block_ends(tmp_path):
    path = tmp_path / "net.bin"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent, "a rename is only atomic within one folder"
        assert temporary.suffix == ".bin", "image writers choose the format by the suffix"
    assert path.read_text() == "new"


def test_a_written_file_has_the_mode_that_an_ordinary_file_gets(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "ours", "x")
        (tmp_path / "ordinary").write_text("x")
        assert os.umask(0o027) == 0o027, "the process's own mask must be as it was"
    finally:
        os.umask(old)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "ordinary")]
    assert modes == [0o640, 0o640]


def small_results():
    net, x = inputopt.MLP([4, 3], seed=0), torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    report = inputopt.evaluate(net, x, net(x).argmax(1), eps=0.1, preset="quick")
    image = np.zeros((1, 4, 4), dtype=np.float32)
    return net, report, inputopt.attacks.FGSM(eps=0.1)(net, x), inputopt.Picture(torch.from_numpy(image))


def test_every_writer_makes_files_that_others_may_read(tmp_path):
    net, report, result, picture = small_results()
    old = os.umask(0o022)
    try:
        inputopt.save(net, tmp_path / "net.safetensors")
        report.save(tmp_path / "report")
        report.save_html(tmp_path / "report.html")
        result.save(tmp_path / "result")
        picture.save(tmp_path / "picture.png")
        inputopt.train(net, [[0.0] * 4], [[1.0, 0.0, 0.0]], steps=3).save(tmp_path / "history")
        save_figure(Figure(), tmp_path / "figure.png")
    finally:
        os.umask(old)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".safetensors", ".html", ".json", ".npz", ".csv", ".png"} <= {path.suffix for path in written}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in written} == {"0o644"}


def test_a_place_below_a_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("I am not a folder")
    with pytest.raises(FileError, match=r"^Cannot write .*file/x\.txt: .*; choose another path\.$"):
        write_text(tmp_path / "file" / "x.txt", "text")
    assert (tmp_path / "file").read_text() == "I am not a folder"


def test_a_path_that_is_a_folder_is_refused_and_left_empty(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"Cannot write .*folder: "):
        write_text(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_figure_is_saved_in_the_format_of_its_suffix(tmp_path):
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    save_figure(figure, tmp_path / "a.png")
    save_figure(figure, tmp_path / "a.svg")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


def test_file_errors_are_value_errors():
    assert issubclass(FileError, ValueError)


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "big.txt"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(FileError, match=r"^Cannot write .*big\.txt: File too large; choose another path\.$"):
            write_text(path, "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_in_any_writer_is_a_sentence(tmp_path):
    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), SafetensorError("No space left on device")):
        with pytest.raises(FileError, match="No space left on device; choose another path"), replacing(tmp_path / "x"):
            raise error
    assert list(tmp_path.iterdir()) == []


def test_a_place_is_checked_without_leaving_anything_there(tmp_path):
    wanted = tmp_path / "a" / "b" / "c.png"
    assert check_writable(wanted) == wanted
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    for bad, why in {
        tmp_path: "Is a directory",
        tmp_path / "file" / "x": "Not a directory",
        "/proc/none/x": "",
    }.items():
        with pytest.raises(FileError, match=rf"^Cannot write {bad}: {why}.*; choose another folder\.$"):
            check_writable(bad, "choose another folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(), "^There is no file a.npz; check the name"),
        (KeyError("x"), "^a.npz cannot be read as an archive .'x'"),
        (RuntimeError("line\nanother"), r"as an archive \(line\)\.$"),
        (MemoryError(), "does not fit into memory"),
        (FileError("said already"), "^said already$"),
    ],
)
def test_whatever_a_reader_raises_is_a_sentence_about_the_file(error, words):
    with pytest.raises(FileError, match=words) as caught, reading("a.npz", "an archive"):
        raise error
    assert caught.value is error or caught.value.__cause__ is error


def test_ctrl_c_while_reading_is_no_damaged_file():
    with pytest.raises(KeyboardInterrupt), reading("a.npz", "an archive"):
        raise KeyboardInterrupt
