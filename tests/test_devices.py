"""On a GPU: everything runs where the model is, finds what it finds on a CPU, and no step waits for the device."""

import warnings

import pytest
import torch
from attack_table import EPS, ROWS
from contracts import known_inputs, leaves, small_net
from torch import nn

import inputopt
from inputopt.search import keyed_random
from inputopt.search.norms import find_norm

FOUND = [name for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.mps.is_available())) if there]
DEVICE = torch.device(FOUND[0] if FOUND else "cpu")

pytestmark = pytest.mark.skipif(not FOUND, reason="neither a CUDA nor an MPS device is present")

ATTACKS = [(name, norm) for name, row in ROWS.items() for norm in row.norms]


def attack(name, norm):
    return ROWS[name].made(name, norm, EPS[norm])


def assert_there(tree):
    assert {value.device.type for value in leaves(tree)} == {DEVICE.type}


@pytest.mark.parametrize(("name", "norm"), ATTACKS, ids="-".join)
def test_an_attack_finds_there_what_it_finds_here(name, norm):
    (x, y), net = known_inputs(torch.float32, 12), small_net(torch.float32)
    here = attack(name, norm)(net, x, y)
    there = attack(name, norm)(small_net(torch.float32).to(DEVICE), x, y)
    assert_there(there)
    with torch.no_grad():
        again = net(there.x.cpu())
    first, second = again.topk(2).values.unbind(1)
    clear = first - second > 1e-4
    assert torch.equal((again.argmax(1) != y)[clear], there.success.cpu()[clear])
    size = find_norm(norm).size(there.x.cpu() - x)
    assert not ROWS[name].fixed_distance or float(size.max()) <= EPS[norm] * (1 + 1e-5)
    assert int((there.success.cpu() != here.success).sum()) <= 1  # rounding may turn one that is on the boundary
    both = there.success.cpu() & here.success
    torch.testing.assert_close(there.distance.cpu()[both], here.distance[both], rtol=0.05, atol=1.0 * (norm == "l0"))


@pytest.mark.parametrize("preset", ["quick", "standard"])
def test_an_evaluation_there_is_that_here(preset):
    (x, y), net = known_inputs(torch.float32, 40), small_net(torch.float32)
    here = inputopt.evaluate(net, x, y, eps=0.1, preset=preset)
    there = inputopt.evaluate(small_net(torch.float32).to(DEVICE), x, y, eps=0.1, preset=preset)
    assert int((here.robust != there.robust.cpu()).sum()) <= 1


def eye():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


PICTURES = {
    "dream": lambda net, photo: inputopt.dream(net, photo, ["2"], octaves=1, steps=3).x,
    "visualize": lambda net, photo: inputopt.visualize(net, inputopt.Channel("2", 1), size=8, steps=6).x,
    "invert": lambda net, photo: inputopt.invert(net, photo, ["2"], 6).x,
    "fool": lambda net, photo: inputopt.fool(net, 1, (3, 8, 8), 2, steps=6).x,
    "ascend": lambda net, photo: inputopt.ascend(net, photo[None], steps=6).x,
    "saliency": lambda net, photo: inputopt.saliency(net, photo[None], [1], "integrated"),
    "evolve_images": lambda net, photo: inputopt.evolve_images(net, [1], (3, 8, 8), 3, confidence=0.99).pictures[0].x,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_there_is_that_here(name):
    photo = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    here, there = PICTURES[name](eye(), photo), PICTURES[name](eye().to(DEVICE), photo)
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=0.02 * float(here.max() - here.min()))


def test_draws_are_the_same_bits_everywhere():
    ids = torch.arange(5)
    assert torch.equal(
        keyed_random.uniform((7, 3), 1, ids.to(DEVICE), 4).cpu(), keyed_random.uniform((7, 3), 1, ids, 4)
    )


@pytest.mark.skipif("cuda" not in FOUND, reason="only CUDA tells of waits")
@pytest.mark.parametrize(("name", "norm"), [("PGD", "linf"), ("PGD", "l2"), ("DDN", "l2"), ("FMN", "l2")])
def test_no_step_waits(name, norm):
    (x, y), net = known_inputs(torch.float32, 12), inputopt.Frozen(small_net(torch.float32).to(DEVICE))
    eps = {"eps": 1e-6} if name == "PGD" else {}
    waits = []
    for steps in (10, 10, 20):  # the first run looks at the network
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                getattr(inputopt.attacks, name)(norm=norm, steps=steps, **eps)(net, x.to(DEVICE), y.to(DEVICE))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        waits.append(len(said))
    assert waits[1] == waits[2]
