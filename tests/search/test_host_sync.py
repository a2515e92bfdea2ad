"""A device that works behind the host changes nothing but time: searches never look at values on it."""

import numpy as np
import pytest
import torch
from contracts import assert_same, drawn, known_inputs, small_net
from torch.utils._python_dispatch import TorchDispatchMode

import inputopt
from inputopt.search import keyed_random
from inputopt.search.host_sync import Departures, as_if_asynchronous, known_all, known_finite, known_none, positions
from inputopt.search.rows import chosen

A = inputopt.attacks
FIXED = [
    *(A.PGD(norm, eps, steps=6, restarts=2) for norm, eps in (("l0", 2), ("l1", 0.6), ("l2", 0.3), ("linf", 0.1))),
    A.FGSM("linf", 0.1),
    A.BIM("l2", 0.3),
    A.MIFGSM("linf", 0.1),
    A.NIFGSM("linf", 0.1),
    A.APGD("l2", 0.3, steps=12),
    A.APGD("l1", 0.6, steps=12),
    A.Square("linf", 0.1, steps=20),
    A.MultiTargeted("linf", 0.1, rounds=(A.Round(2, 4), A.Round(1, 6, (3.0,)))),
]
NEAREST = [
    A.DDN(steps=12),
    *(A.FMN(norm, steps=12) for norm in ("l0", "l1", "l2", "linf")),
    A.CarliniWagner(steps=30, rounds=3),
    A.EAD(steps=30, rounds=3),
    A.ALMA("l1", steps=30),
    A.SigmaZero(steps=12),
    A.FAB("l2", steps=6),
    A.DeepFool(),
    A.TrustRegion(radius=0.2, steps=20),
    A.PDPGD("l2", steps=20),
    A.JSMA(steps=8),
    A.EpsilonBisection(A.PGD("l2", steps=5), rounds=4),
    A.MinimalNorm("l1", queries=150),
]
WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::masked_select"}


def looks(name, arguments):
    """Whether an operation makes the host wait for a device."""
    by_mask = name.startswith("aten::index") and any(
        isinstance(part, torch.Tensor) and part.dtype == torch.bool
        for argument in arguments
        if isinstance(argument, (list, tuple))
        for part in argument
    )
    return by_mask or name.partition(".")[0] in WAITING


class Looks(TorchDispatchMode):
    """Counts operations by which the host waits for values."""

    def __init__(self):
        super().__init__()
        self.count = self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        self.count += looks(func.name(), args)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("attack", FIXED + NEAREST, ids=lambda attack: f"{type(attack).__name__}-{attack.norm}")
def test_an_asynchronous_device_finds_the_same(attack):
    x, y = known_inputs(count=12)
    now = attack(small_net(), x, y)
    with as_if_asynchronous():
        late = attack(small_net(), x, y)
    assert_same((late.x, late.success, late.distance), (now.x, now.success, now.distance), 1e-6)
    assert bool((late.forwards >= now.forwards).all())  # an example leaves up to a step late in each of its searches


@pytest.mark.parametrize(
    "make",
    [
        lambda steps: A.PGD(eps=1e-6, steps=steps),
        lambda steps: A.APGD("l2", 1e-6, steps=steps),
        lambda steps: A.APGD("l1", 1e-6, steps=steps),
        lambda steps: A.MIFGSM(eps=1e-6, steps=steps),
        lambda steps: A.NIFGSM(eps=1e-6, steps=steps),
        lambda steps: A.Square(eps=1e-6, steps=steps),
        lambda steps: A.DDN(steps=steps),
        lambda steps: A.FMN("l0", steps=steps),
        lambda steps: A.FMN("l1", steps=steps),
        lambda steps: A.FMN("l2", steps=steps),
        lambda steps: A.FMN("linf", steps=steps),
        lambda steps: A.SigmaZero(steps=steps),
        lambda steps: A.ALMA("l2", steps=steps),
        lambda steps: A.CarliniWagner(steps=steps),
        lambda steps: A.EAD(steps=steps),
        lambda steps: A.PDGD(steps=steps),
        lambda steps: A.PDPGD("l1", steps=steps),
        lambda steps: A.FAB("l2", steps=steps),
        lambda steps: A.JSMA(steps=steps),
        lambda steps: A.TrustRegion("linf", steps=steps),
    ],
)
def test_no_step_waits_for_the_device(make):
    x, y = known_inputs(torch.float32, 6)
    net, counts = inputopt.Frozen(small_net(torch.float32)), []
    make(3)(net, x, y)  # first inputs are looked at more closely
    for steps in (12, 24):
        with as_if_asynchronous(), Looks() as looked:
            make(steps)(net, x, y)
        counts.append(looked.count)
    assert counts[0] == counts[1]


def test_numbers_drawn_on_a_device_are_the_same_bits():
    ids = torch.tensor([0, 5, -3, 2**62, 77])
    for seed in (0, 12345, 2**63 - 1):
        for draw in (0, 3, 1000):
            here = keyed_random.uniform((2, 3), seed, ids, draw), keyed_random.centred((7,), seed, ids, draw)
            more = keyed_random.normal((5,), seed, ids, draw), keyed_random.child(ids, torch.arange(5))
            with as_if_asynchronous():
                assert_same(
                    (keyed_random.uniform((2, 3), seed, ids, draw), keyed_random.centred((7,), seed, ids, draw)), here
                )
                assert_same(
                    (keyed_random.normal((5,), seed, ids, draw), keyed_random.child(ids, torch.arange(5))), more
                )


def test_what_is_known_on_a_cpu_and_elsewhere():
    every, some, no = (torch.tensor(mask) for mask in ([True, True], [True, False], [False, False]))
    assert [known_all(mask) for mask in (every, some, no)] == [True, False, False]
    assert [known_none(mask) for mask in (every, some, no)] == [False, False, True]
    assert known_finite(torch.ones(2, 3))
    assert not known_finite(torch.tensor([1.0, torch.inf]))
    assert not known_finite(torch.tensor([torch.inf, -torch.inf]))
    with as_if_asynchronous():
        assert not any(known_all(mask) or known_none(mask) for mask in (every, some, no))
        assert not known_finite(torch.ones(2, 3))


def test_rows_are_known_to_be_finished_one_step_late_and_in_the_rows_that_are_left():
    with as_if_asynchronous():
        leaving = Departures()
        assert leaving.finished(torch.tensor([False, True, False, False])) is None  # nothing was copied yet
        first = leaving.finished(torch.tensor([False, True, True, False]))
        assert first.tolist() == [False, True, False, False]
        leaving.drop(~first)  # rows 0, 2 and 3 go on; that 2 is finished is on its way
        second = leaving.finished(torch.tensor([False, True, True]))
        assert second.tolist() == [False, True, False]
        leaving.drop(~second)
        assert leaving.finished(torch.tensor([False, True])).tolist() == [False, True]
    assert Departures().finished(torch.tensor([True, False])).tolist() == [True, False]
    assert positions(np.array([True, False, True]), torch.device("cpu")).tolist() == [0, 2]


def test_rows_are_chosen_alike_on_every_device():
    mask, new, old = torch.tensor([True, False, True]), drawn(3, 4), 1e6 * drawn(3, 4, seed=1)
    here = chosen(mask, new, old)
    with as_if_asynchronous():
        assert torch.equal(chosen(mask, new, old), here)
