"""The loop, mostly through `ascend` and `fool`, on networks whose answers are known."""

from dataclasses import dataclass

import pytest
import torch
from contracts import CLASSES, assert_same, drawn, known_inputs, small_net
from hypothesis import given, settings
from hypothesis import strategies as st

import inputopt
from inputopt.search.loop import latest, lowest_loss
from inputopt.search.problem import Evaluation
from inputopt.search.rows import take

modest = settings(max_examples=40, derandomize=True, deadline=None)
WEIGHT = torch.tensor([3.0, -4.0, 0.0, 12.0], dtype=torch.float64)  # of length 13


def two_sides(x):
    """Class 0 where weight x > 0, class 1 where it is less: the boundary and the way to it are known."""
    height = (x * WEIGHT).sum(1)
    return torch.stack([height, -height], 1)


WIDE = inputopt.Frozen(two_sides, bounds=(-10, 10))
LENGTH = 0.05  # of a step of `ascend` in these bounds: rate x width x sqrt(4 numbers)
RATE = LENGTH / 20 / 2


def at_height(*heights):
    """Inputs at these distances from the boundary, and their classes."""
    x = torch.tensor(heights, dtype=torch.float64)[:, None] * WEIGHT / 13 + torch.tensor([4.0, 3.0, 1.0, 0.0]) / 2
    return x, (torch.tensor(heights) < 0).long()


@modest
@given(
    st.lists(st.floats(0.001, 3).filter(lambda d: abs(d / LENGTH - round(d / LENGTH)) > 1e-6), min_size=1, max_size=6)
)
def test_ascent_takes_as_many_steps_as_the_boundary_is_away(distances):
    x, y = at_height(*(d if index % 2 else -d for index, d in enumerate(distances)))
    result = inputopt.ascend(WIDE, x, y, rate=RATE)
    steps = torch.tensor([int(d / LENGTH) + 1 for d in distances])
    assert result.success.all()
    assert_same(result.prediction, 1 - y)
    assert_same(result.distance, steps.double() * LENGTH, 1e-9)
    assert_same(result.distance, (result.x - x).norm(dim=1), 1e-12)
    assert_same(result.logits, two_sides(result.x), 1e-12)
    assert_same(result.forwards, steps + 1)
    assert_same(result.backwards, steps)


def test_the_last_point_is_scored_too():
    x, y = at_height(4.5 * LENGTH)
    one_short, enough = (inputopt.ascend(WIDE, x, y, steps=steps, rate=RATE) for steps in (4, 5))
    assert (one_short.success.tolist(), enough.success.tolist()) == ([False], [True])
    assert_same(one_short.distance, torch.tensor([4 * LENGTH], dtype=torch.float64), 1e-12)
    assert (one_short.forwards.tolist(), enough.forwards.tolist()) == ([5], [6])


def test_what_is_done_to_begin_with_is_returned_as_it_is():
    x, _ = at_height(0.7, 1.0, -0.3)
    result = inputopt.ascend(WIDE, x, torch.tensor([1, 0, 0]), rate=RATE)
    assert result.success.all()
    assert_same(result.x[[0, 2]], x[[0, 2]])
    assert result.distance[[0, 2]].tolist() == [0, 0]
    assert result.forwards[[0, 2]].tolist() == [1, 1]
    assert result.backwards[[0, 2]].tolist() == [0, 0]


class Recorder:
    """A model that notes how many examples it was given, and whether a derivative may be wanted."""

    def __init__(self, model):
        self.model, self.searched, self.looked = model, [], []

    def __call__(self, x):
        (self.searched if torch.is_grad_enabled() else self.looked).append(len(x))
        return self.model(x)


def test_finished_examples_are_dropped_and_all_is_counted():
    distances = [0.5, 3.5, 1.5, 1.5, 2.5]
    x, y = at_height(*(d * LENGTH for d in distances))
    model = Recorder(two_sides)
    net = inputopt.Frozen(model, bounds=(-10, 10))
    net(x[:1])
    model.searched.clear()
    model.looked.clear()
    net.forwards = 0
    result = inputopt.ascend(net, x, y, rate=RATE)
    assert model.searched == [5, 5, 4, 2, 1]
    assert result.forwards.tolist() == [2, 5, 3, 3, 4]
    assert result.backwards.tolist() == [1, 4, 2, 2, 3]
    assert model.looked == [5, 1, 1, 1]  # a look at all of them, and one at the first alone
    assert net.forwards == sum(model.searched) + sum(model.looked)
    assert net.backwards == int(result.backwards.sum())


def test_counts_of_a_real_search_add_up_to_what_frozen_counted():
    net, (x, y) = inputopt.Frozen(small_net()), known_inputs(count=20)
    result = inputopt.ascend(net, x, y)
    assert net.forwards - int(result.forwards.sum()) == 8 + 3  # the looks at the network are no one's
    assert net.backwards == int(result.backwards.sum())
    assert len(result.forwards.unique()) > 3


def test_an_interrupted_search_keeps_what_it_had():
    x, y = at_height(0.5 * LENGTH, 3.5 * LENGTH, 8.5 * LENGTH)

    def stop(at):
        def watch(snapshot):
            if snapshot.index == at:
                raise KeyboardInterrupt

        return watch

    with pytest.raises(inputopt.Interrupted) as caught:
        inputopt.ascend(WIDE, x, y, rate=RATE, watch=stop(5))
    result = caught.value.result
    assert result.success.tolist() == [True, True, False]
    assert_same(result.distance, torch.tensor([1, 4, 5], dtype=torch.float64) * LENGTH, 1e-12)
    assert result.forwards.tolist() == [2, 5, 6]
    assert_same(result.logits, two_sides(result.x), 1e-12)
    assert isinstance(caught.value, KeyboardInterrupt)  # who knows nothing of it stops as usual

    def never(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as early:  # before anything was scored
        inputopt.fool(never, 1, (4,))
    assert not isinstance(early.value, inputopt.Interrupted)


def trace():
    """A watcher, and all that it was shown."""
    seen = []
    return seen, seen.append


def test_a_failed_search_returns_the_best_that_it_saw():
    seen, watch = trace()
    # steps so long that the loss jumps about, and a confidence out of reach
    result = inputopt.fool(small_net(), 3, (12,), count=6, confidence=1 - 1e-12, steps=12, rate=0.4, watch=watch)
    assert not result.success.any()
    points = torch.stack([snapshot.x for snapshot in seen])
    belief = torch.stack([snapshot.outputs for snapshot in seen]).softmax(2)[:, :, 3]
    losses = -(belief / (1 - belief)).log()
    best, places = losses.min(0)
    assert_same(result.loss, best, 1e-12)
    assert_same(result.x, points[places, torch.arange(6)])
    assert len(places.unique()) > 1  # for some the best was not the last
    assert int(places.min()) < 12
    assert_same(result.prediction, result.logits.argmax(1))
    assert_same(result.logits, small_net()(result.x).detach(), 1e-12)


def test_a_network_that_leads_nowhere_gives_the_input_back():
    x = torch.rand(3, 4)
    result = inputopt.ascend(lambda x: (x * 0).sum(1, keepdim=True) + torch.tensor([1.0, 0.0]), x, [0, 0, 0], steps=3)
    assert not result.success.any()
    assert_same(result.x, x)
    assert result.distance.tolist() == [0, 0, 0]
    assert result.prediction.tolist() == [0, 0, 0]
    assert result.forwards.tolist() == [4, 4, 4]


def test_watchers_see_every_step_and_who_is_still_searching():
    seen, watch = trace()
    x, y = at_height(0.5 * LENGTH, 2.5 * LENGTH)
    result = inputopt.ascend(WIDE, x, y, rate=RATE, watch=watch)
    assert [snapshot.index for snapshot in seen] == [0, 1, 2, 3]
    assert [snapshot.ids.tolist() for snapshot in seen] == [[0, 1], [0, 1], [1], [1]]
    assert_same(seen[0].x, x)
    assert_same(seen[1].x[0], result.x[0])
    assert_same(seen[-1].x[0], result.x[1])


@modest
@given(seed=st.integers(0, 1000), low=st.floats(-3, 0), width=st.floats(0.1, 300), rate=st.floats(0.001, 10))
def test_every_point_on_the_way_is_in_the_box(seed, low, width, rate):
    seen, watch = trace()
    net = inputopt.Frozen(small_net(), bounds=(low, low + width))
    inputopt.fool(net, seed % CLASSES, (3, 4), count=3, seed=seed, steps=4, rate=rate, watch=watch)
    assert all(low <= float(snapshot.x.min()) <= float(snapshot.x.max()) <= low + width for snapshot in seen)


# ------------------------------------------------------------------------------------------------- its two small parts
def judged(losses, success):
    return Evaluation(torch.zeros(4, 1), torch.zeros(4, 2), torch.tensor(losses), torch.tensor(success))


def test_success_comes_before_failure_and_then_the_lower_loss():
    seen = judged([5.0, 0.0, 1.0, 1.0], [True, False, False, True])
    before, done = torch.tensor([1.0, 1.0, 2.0, 1.0]), torch.tensor([False, True, False, True])
    assert lowest_loss(seen, before, done).tolist() == [True, False, True, False]
    assert latest(seen, before, done).tolist() == [True] * 4


@dataclass(frozen=True)
class Nested:
    """A state as a step rule might have."""

    value: torch.Tensor
    more: tuple
    number: int
    nothing: None = None


@pytest.mark.parametrize("rows", [torch.tensor([2, 0]), torch.tensor([True, False, True]), torch.tensor([], dtype=int)])
def test_take_reaches_every_tensor_of_a_nested_state(rows):
    one, two, three = drawn(3, 2), drawn(3), drawn(3, 1, 1)
    found = take((Nested(one, (two, (), Nested(three, (), 8)), 7),), rows)[0]
    assert_same((found.value, found.more[0], found.more[2].value), (one[rows], two[rows], three[rows]))
    assert (found.number, found.more[1], found.more[2].number, found.nothing) == (7, (), 8, None)


def test_without_labels_the_networks_own_answers_are_left():
    x, y = known_inputs(count=6)
    found, same = inputopt.ascend(small_net(), x), inputopt.ascend(small_net(), x, y)
    assert_same(found, same)
    assert_same(found.label, y)
