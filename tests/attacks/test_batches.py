"""However the work is cut up: chunks of ids give the same bits, and float32 touches few examples elsewhere."""

import pytest
import torch
from contracts import assert_same, drawn, small_net
from torch import nn

import inputopt
from inputopt.attacks import batches
from inputopt.search.rows import take


def small_cnn():
    """Two convolutions and a linear layer, on images of 6 x 6."""
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))
    for index, weights in enumerate(net.parameters()):
        weights.data = 0.4 * drawn(*weights.shape, seed=index, dtype=weights.dtype)
    return net


NETS = {"mlp": (lambda: small_net(torch.float32), (12,)), "cnn": (small_cnn, (1, 6, 6))}
ATTACKS = {
    "PGD": inputopt.attacks.PGD(eps=0.05, steps=4, restarts=2),
    "APGD": inputopt.attacks.APGD("l2", 0.2, steps=5),
    "MultiTargeted": inputopt.attacks.MultiTargeted(eps=0.05, rounds=(inputopt.attacks.Round(2, 4),)),
    "Square": inputopt.attacks.Square(eps=0.05, steps=5),
}


def known(kind, count):
    make, shape = NETS[kind]
    net = inputopt.Frozen(make())
    x = drawn(count, *shape, seed=7, dtype=torch.float32).sigmoid()
    return net, x, net(x).argmax(1)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("name", ATTACKS)
def test_whole_chunks_are_the_same_bits_however_they_are_sharded(name, kind, monkeypatch):
    monkeypatch.setattr(batches, "BATCHES", (4, 8))
    net, x, y = known(kind, 100)
    size = batches.chunk_size(net, x)
    assert size == 32
    whole = ATTACKS[name](net, x, y)
    for cut in (torch.arange(64, 100), torch.arange(0, 64), torch.arange(32, 64).flip(0)):
        part = ATTACKS[name](inputopt.Frozen(NETS[kind][0]()), x[cut], y[cut], ids=cut)
        assert_same(part, take(whole, cut))


@pytest.mark.parametrize("kind", NETS)
def test_other_batches_touch_few_examples_in_float32(kind):
    """Measured: the share whose input differs by more than rounding, run one at a time rather than together."""
    net, x, y = known(kind, 60)
    attack = ATTACKS["PGD"]
    whole = attack(net, x, y)
    alone = [attack(net, x[row : row + 1], y[row : row + 1], ids=[row]) for row in range(60)]
    touched = [float((one.x[0] - whole.x[row]).abs().max()) > 1e-5 for row, one in enumerate(alone)]
    assert sum(touched) <= 3
    assert sum(bool(one.success[0]) != bool(whole.success[row]) for row, one in enumerate(alone)) <= 1


def test_samples_are_averaged_and_counted():
    noise = torch.Generator().manual_seed(0)
    net = small_net()
    x = drawn(20, 12, seed=3).sigmoid()
    y = net(x).argmax(1)

    def random(x):
        return net(x) + 0.5 * torch.randn(len(x), 6, generator=noise, dtype=x.dtype)

    frozen = inputopt.Frozen(random)
    found = inputopt.attacks.PGD(eps=0.15, steps=6, eot_samples=8)(frozen, x, y)
    assert bool((found.forwards >= found.backwards + 8 + 20).all())  # and the final inputs are judged on 20 draws
    assert bool((found.backwards % 8 == 0).all())
    assert int(found.backwards.sum()) == frozen.backwards
    sure = inputopt.attacks.PGD(eps=0.15, steps=6)(net, x, y)
    truly = net(found.x).argmax(1) != y
    assert float(truly.double().mean()) >= float(sure.success.double().mean()) - 0.2
