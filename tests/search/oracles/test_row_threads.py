"""Rows of a batch in threads: the same results as alone, and nothing lost on the way between the threads."""

import threading

import pytest
import torch
from contracts import drawn
from torch import nn

import inputopt
from inputopt.nets.model_errors import ModelError
from inputopt.search.goals import wrong
from inputopt.search.loop import Interrupted, at_the_end, on_success, optimise
from inputopt.search.objectives.logits import margin
from inputopt.search.oracles import Autograd, row_threads
from inputopt.search.oracles.row_threads import RowThreads, by_rows
from inputopt.search.problem import Problem
from inputopt.search.projections import in_box
from inputopt.search.steps.directions import sign
from inputopt.search.steps.step import GradientStep

ROWS = 5


class Net(nn.Module):
    """Notes the threads that run it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        THREADS.add(threading.get_ident())
        return self.layers(x)


THREADS = set()


def task():
    x = drawn(ROWS, 6, dtype=torch.float32).sigmoid()
    return Problem(x, torch.arange(ROWS) % 3, torch.arange(ROWS) + 10)


def search(net, problem, in_threads=True, stop=at_the_end, watch=None):
    oracle = Autograd(net, margin, wrong)
    step = GradientStep(sign, 0.01)
    with by_rows(oracle, net, problem.x0) as used:
        assert isinstance(used, RowThreads) is in_threads
        return optimise(used, step, in_box, problem, problem.x0, steps=6, stop=stop, watch=watch)


@pytest.fixture
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("stop", [at_the_end, on_success])
def test_each_row_is_as_if_it_were_searched_alone(stop, monkeypatch):
    monkeypatch.setattr(row_threads, "SMALL", 0)
    net, problem, snapshots = inputopt.Frozen(Net()), task(), []
    net(problem.x0)
    THREADS.clear()
    found = search(net, problem, stop=stop, watch=snapshots.append)
    assert threading.get_ident() not in THREADS
    assert len(THREADS) == 2
    for row in range(ROWS):
        rows = slice(row, row + 1)
        alone = search(net, Problem(problem.x0[rows], problem.label[rows], problem.ids[rows]), stop=stop)
        for name in ("x", "success", "logits", "loss", "forwards", "backwards"):
            assert torch.equal(getattr(found, name)[rows], getattr(alone, name)), name
    assert [each.index for each in snapshots] == list(range(len(snapshots)))
    assert snapshots[0].ids.tolist() == problem.ids.tolist()


def test_rows_of_little_work_stay_together():
    search(inputopt.Frozen(Net()), task(), in_threads=False)


@pytest.mark.usefixtures("two_cores")
def test_an_error_in_a_thread_is_that_of_the_search_and_an_interrupt_has_its_result(monkeypatch):
    monkeypatch.setattr(row_threads, "SMALL", 0)
    problem = task()

    def stopped(snapshot):
        if snapshot.index == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as raised:
        search(inputopt.Frozen(Net()), problem, watch=stopped)
    assert raised.value.result.x.shape == problem.x0.shape

    def fails(x):
        if THREADS and x.requires_grad and threading.current_thread() is not threading.main_thread():
            raise RuntimeError("no luck")
        return x[:, :3]

    with pytest.raises(ModelError, match="no luck"):
        search(inputopt.Frozen(fails), problem)


@pytest.mark.usefixtures("two_cores")
def test_rules_of_the_caller_hold_in_the_threads(monkeypatch):
    monkeypatch.setattr(row_threads, "SMALL", 0)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.branch = nn.Linear(6, 6)

        def forward(self, x):
            return x + self.branch(x)

    net, problem = inputopt.Frozen(Residual()), task()
    net(problem.x0)
    with net.skipping(1.0, lambda branches: [False] * branches):
        found = search(net, problem)
    assert torch.equal(found.logits, found.x)
