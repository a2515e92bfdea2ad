"""Jobs are shared out between processes, each done once, and none is lost."""

import os
import signal
import time

import pytest

from inputopt.document.worker_processes import map_in_processes


def there(seconds, name):
    time.sleep(seconds)
    return name, os.getpid()


def deaf():
    """Whether Ctrl-C is kept from this process."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def wait_until(condition):
    while not condition():
        time.sleep(0.02)


def noted(folder, name):
    """Leave a file, so that the other process can wait for this one, which takes seconds to start on a busy machine."""
    (folder / name).touch()
    time.sleep(0.05)
    return name, os.getpid(), deaf()


def test_each_job_is_done_once_and_its_result_is_in_its_place(tmp_path):
    here = []

    def work(folder, name):
        here.append(name)
        if name == "long":
            wait_until(lambda: any(folder.iterdir()))
        return name, os.getpid(), deaf()

    jobs = [(tmp_path, "long"), *((tmp_path, f"short {index}") for index in range(6))]
    found = map_in_processes(work, noted, jobs, processes=2)
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
    found = map_in_processes(there, there, jobs, processes)
    assert found == [(name, os.getpid()) for _, name in jobs]


def wrong(folder, name):
    (folder / name).touch()
    raise ValueError(f"{name} is wrong")


def test_exceptions_of_any_process_are_raised_in_this_one(tmp_path):
    def patient(folder, name):
        wait_until(lambda: any(folder.iterdir()))

    jobs = [(tmp_path, name) for name in "abcde"]  # the executor may hand the last three to the worker at once
    with pytest.raises(ValueError, match=r"[b-e] is wrong"):
        map_in_processes(patient, wrong, jobs, processes=2)
    with pytest.raises(ValueError, match="a is wrong"):
        map_in_processes(wrong, noted, jobs, processes=2)


def note(folder, name):
    (folder / name).touch()
    time.sleep(600)


def test_ctrl_c_here_ends_what_has_begun_elsewhere(tmp_path):
    def interrupted(folder, name):
        wait_until(lambda: any(folder.iterdir()))  # until the other process is at work, and would be for ten minutes
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_in_processes(interrupted, note, [(tmp_path, str(index)) for index in range(500)], processes=2)
    assert len(list(tmp_path.iterdir())) == 1
