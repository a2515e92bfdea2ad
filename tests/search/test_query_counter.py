"""What a search has cost and met, and how several results become one."""

from dataclasses import replace

import torch
from contracts import assert_same

from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import (
    Result,
    best_of,
    best_restart,
    concatenated,
    failures_at_infinity,
    lower_loss,
    nearer,
    scatter,
    smaller_margin,
)


def test_rows_are_counted_by_example_and_restart():
    meter, every, some = QueryCounter(), torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([2, 0])
    for _ in range(3):
        meter.forward(every, 4)
        meter.backward(every)
    meter.forward(some)
    forwards, backwards = meter.totals(torch.arange(3))
    assert forwards.tolist() == [25, 24, 25]
    assert backwards.tolist() == [6, 6, 6]
    meter.backward(some, 10)
    assert meter.totals(torch.tensor([2, 2, 1]))[1].tolist() == [16, 16, 6]
    assert QueryCounter().totals(torch.arange(2))[0].tolist() == [0, 0]
    assert meter.totals(torch.tensor([7]))[0].tolist() == [0]


def test_what_is_not_finite_is_noted_once_and_for_all():
    meter, every = QueryCounter(), torch.arange(3)
    meter.note_nonfinite(every, torch.tensor([0.0, torch.nan, 0.0]))
    meter.note_nonfinite(every, torch.zeros(3))
    meter.note_nonfinite(torch.tensor([2]), torch.tensor([torch.nan]))
    assert meter.nonfinite(every).tolist() == [False, True, True]
    meter.forward(every)
    assert meter.nonfinite(every).tolist() == [False, True, True]


def results(success, loss, distance, logits, forwards):
    success = torch.tensor(success)
    count, logits = len(success), torch.tensor(logits)
    no, zero = torch.zeros(count, dtype=torch.bool), torch.zeros(count)
    return Result(
        x=torch.arange(count)[:, None] + 10.0 * forwards,
        success=success,
        distance=torch.tensor(distance),
        prediction=logits.argmax(1),
        logits=logits,
        loss=torch.tensor(loss),
        forwards=torch.full((count,), forwards),
        backwards=torch.full((count,), forwards),
        nonfinite=no,
        label=torch.zeros(count, dtype=torch.int64),
        skipped=no,
        success_rate=zero,
    )


OLD = results([True, False, False, True], [1.0, 2, 3, 4], [1.0, 2, 3, 4], [[0.0, 1], [5, 0], [3, 0], [0, 4]], 2)
NEW = results([False, True, False, True], [0.0, 9, 2, 5], [0.5, 9, 9, 3], [[9.0, 0], [0, 1], [4, 0], [0, 9]], 5)


def test_the_better_of_two_results_by_each_rule():
    assert lower_loss(NEW, OLD).tolist() == [False, True, True, False]
    assert smaller_margin(NEW, OLD).tolist() == [False, True, False, True]  # it leads by 9, which is more than 4
    assert nearer(NEW, OLD).tolist() == [False, True, False, True]
    both = best_of(OLD, replace(NEW, nonfinite=torch.tensor([True, False, False, False])), nearer)
    assert both.x[:, 0].tolist() == [20, 51, 22, 53]
    assert both.distance.tolist() == [1, 9, 3, 3]
    assert both.forwards.tolist() == [5] * 4  # one meter goes on counting: the later result knows of both
    assert both.nonfinite.tolist() == [True, False, False, False]


def test_rows_scattered_and_concatenated():
    rows = torch.tensor([3, 1])
    part = replace(results([True, True], [0.0, 0], [0.1, 0.2], [[0.0, 1], [0, 1]], 9))
    whole = scatter(OLD, rows, part, nearer)
    assert whole.distance.tolist() == [1, torch.tensor(0.2).item(), 3, torch.tensor(0.1).item()]
    assert whole.x[:, 0].tolist() == [20, 91, 22, 90]
    assert concatenated([OLD, NEW]).loss.tolist() == [*OLD.loss.tolist(), *NEW.loss.tolist()]


def test_restarts_stand_in_blocks():
    found = best_restart(concatenated([OLD, NEW]), 2, lower_loss)
    assert_same(found, best_of(OLD, NEW, lower_loss))
    assert_same(best_restart(OLD, 1, lower_loss), OLD)


def test_failures_are_infinitely_far():
    assert failures_at_infinity(OLD).distance.tolist() == [1, torch.inf, torch.inf, 4]
