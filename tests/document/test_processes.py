"""Jobs are shared out between processes, each done once, and none is lost."""

import os
import signal
import time

import pytest

from inputopt.document.worker_processes import shared_out


def there(seconds, name):
    time.sleep(seconds)
    return name, os.getpid()


def deaf():
    """Whether Ctrl-C is kept from this process."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def there_or_deaf(seconds, name):
    return (*there(seconds, name), deaf())


def test_each_job_is_done_once_and_stands_in_its_place():
    here = []

    def work(seconds, name):
        here.append(name)
        return there_or_deaf(seconds, name)

    jobs = [(0.4, "long"), *((0.05, f"short {index}") for index in range(6))]
    found = shared_out(work, there_or_deaf, jobs, processes=2)
    assert [name for name, *_ in found] == [name for _, name in jobs]
    assert here[0] == "long", "the longest are taken here"
    elsewhere = {name for name, process, _ in found if process != os.getpid()}
    assert elsewhere == {name for _, name in jobs} - set(here)
    assert "short 5" in elsewhere, "the shortest are taken elsewhere"
    assert all(silent == (process != os.getpid()) for _, process, silent in found), "Ctrl-C is heard here alone"
    assert not deaf()


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
    time.sleep(600)


def test_ctrl_c_here_ends_what_has_begun_elsewhere(tmp_path):
    def interrupted(folder, name):
        while not any(tmp_path.iterdir()):  # until the other process is at work, and would be for ten minutes
            time.sleep(0.05)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared_out(interrupted, note, [(tmp_path, str(index)) for index in range(500)], processes=2)
    assert len(list(tmp_path.iterdir())) == 1
