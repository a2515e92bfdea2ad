"""Jobs are shared out between processes, each done once, and none is lost."""

import os
import time

import pytest

from inputopt.document.processes import shared_out


def there(seconds, name):
    time.sleep(seconds)
    return name, os.getpid()


def test_each_job_is_done_once_and_stands_in_its_place():
    here = []

    def work(seconds, name):
        here.append(name)
        return there(seconds, name)

    jobs = [(0.4, "long"), *((0.05, f"short {index}") for index in range(6))]
    found = shared_out(work, there, jobs, processes=2)
    assert [name for name, _ in found] == [name for _, name in jobs]
    assert here[0] == "long", "the longest are taken here"
    elsewhere = {name for name, process in found if process != os.getpid()}
    assert elsewhere == {name for _, name in jobs} - set(here)
    assert "short 5" in elsewhere, "the shortest are taken elsewhere"


@pytest.mark.parametrize("processes", [1, 4])
def test_one_process_or_one_job_needs_no_other(processes):
    jobs = [(0.0, "only")] if processes > 1 else [(0.0, "a"), (0.0, "b")]
    found = shared_out(there, there, jobs, processes)
    assert found == [(name, os.getpid()) for _, name in jobs]


def wrong(seconds, name):
    raise ValueError(f"{name} is wrong")


def test_what_goes_wrong_anywhere_is_raised_here():
    with pytest.raises(ValueError, match="is wrong"):
        shared_out(there, wrong, [(0.5, "a"), (0.0, "b"), (0.0, "c")], processes=2)
    with pytest.raises(ValueError, match="a is wrong"):
        shared_out(wrong, there, [(0.0, "a"), (0.0, "b")], processes=2)


def note(folder, name):
    (folder / name).touch()


def test_ctrl_c_here_drops_what_has_not_begun(tmp_path):
    def interrupted(folder, name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared_out(interrupted, note, [(tmp_path, str(index)) for index in range(500)], processes=2)
    assert len(list(tmp_path.iterdir())) < 100
