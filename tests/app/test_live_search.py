"""Searches in worker threads: frames, stopping, two sessions at once."""

import copy
import threading
import time

import pytest
import torch

import inputopt
from inputopt.app.live_search import Ended, Frame, Session
from inputopt.attacks import PGD


def endless(watch):
    count = 0
    while True:
        watch(count)
        count += 1
        time.sleep(0.001)


def quick(steps):
    def run(watch):
        for step in range(steps):
            watch(step)
        return "done"

    return run


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "inputopt search"]


def test_a_search_ends_with_its_result():
    *frames, end = Session().begin().live(quick(5), lambda step: step * 10)
    assert end.result == "done"
    assert (end.stopped, end.steps) == (False, 5)
    assert all(frame.shown % 10 == 0 for frame in frames)


def test_slow_shows_every_step():
    *frames, end = Session().begin().live(quick(5), lambda step: step, slow=True, fps=50)
    assert [frame.shown for frame in frames] == [0, 1, 2, 3, 4]
    assert end.seconds >= 0.08


def test_frames_are_throttled():
    session, shown = Session(), []
    for item in session.begin().live(endless, lambda step: step, fps=20):
        if isinstance(item, Frame):
            shown.append(item.shown)
        if len(shown) == 10:
            session.stop()
    assert shown == sorted(shown)
    assert shown[-1] > 100  # many more steps than frames


def test_stop_ends_the_worker_at_its_next_step():
    session = Session()
    items = session.begin().live(endless, lambda step: step)
    next(items)
    assert session.running
    session.stop()
    *_, end = items
    assert isinstance(end, Ended)
    assert end.stopped
    assert end.result is None
    wait_for(lambda: not session.running)


def test_stop_interrupts_a_slow_search_while_it_waits():
    session = Session()
    items = session.begin().live(quick(1000), lambda step: step, slow=True, fps=0.1)
    next(items)
    started = time.monotonic()
    session.stop()
    assert list(items)[-1].stopped
    assert time.monotonic() - started < 2


def test_a_stopped_attack_returns_its_best_input_so_far():
    session, net = Session(), inputopt.load("digits-cnn-robust")
    x = torch.rand(1, 1, 28, 28)
    attack = PGD("linf", 0.02, steps=100_000, stop_on_success=False)
    items = session.begin().live(lambda watch: attack(net, x, watch=watch), lambda step: step.x.clone())
    assert next(items).shown.shape == x.shape
    session.stop()
    *_, end = items
    assert end.stopped
    assert (end.result.x - x).abs().max() <= 0.02 + 1e-6
    assert end.steps < 100_000


def test_a_reader_that_leaves_stops_the_search():
    session = Session()
    items = session.begin().live(endless, lambda step: step)
    next(items)
    items.close()
    wait_for(lambda: not session.running)


def test_a_new_search_stops_the_one_before():
    session = Session()
    first = session.begin().live(endless, lambda step: step)
    next(first)
    *_, end = session.begin().live(quick(3), lambda step: step)
    assert end.result == "done"
    assert list(first)[-1].stopped
    wait_for(lambda: not workers())


def test_a_run_that_a_later_one_replaced_starts_no_search():
    session = Session()
    earlier, later = session.begin(), session.begin()
    running = later.live(endless, lambda step: step)
    next(running)
    *frames, end = earlier.live(quick(3), lambda step: step)
    assert (frames, end.result, end.stopped) == ([], None, True)
    assert session.running
    session.stop()
    assert list(running)[-1].stopped


def test_two_sessions_do_not_disturb_each_other():
    one = Session()
    two = copy.deepcopy(one)
    first, second = one.begin().live(endless, lambda step: "one"), two.begin().live(endless, lambda step: "two")
    assert (next(first).shown, next(second).shown) == ("one", "two")
    one.stop()
    assert list(first)[-1].stopped
    assert two.running
    assert next(second).shown == "two"
    two.stop()
    assert list(second)[-1].stopped


def test_concurrent_attacks_give_the_results_of_single_ones():
    net = inputopt.load("digits-mlp")
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def attack(watch, row):
        return PGD("l2", 1.0, steps=200, stop_on_success=False)(net, x[row : row + 1], watch=watch)

    alone = [attack(None, row).x for row in range(2)]
    streams = [Session().begin().live(lambda watch, row=row: attack(watch, row), lambda step: None) for row in range(2)]
    together = [None, None]

    def read(row):
        together[row] = list(streams[row])[-1].result.x

    readers = [threading.Thread(target=read, args=(row,)) for row in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_errors_reach_the_reader():
    def broken(watch):
        watch(0)
        raise ValueError("eps is wrong.")

    with pytest.raises(ValueError, match="eps is wrong"):
        list(Session().begin().live(broken, lambda step: step))


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
