"""Every attack as a function that AttackBench calls, on a plain module that counts its queries."""

import attack_table
import pytest
import torch
from contracts import known_inputs, small_net
from model_state import state_of
from torch import nn

import inputopt


class Counting(nn.Module):
    """A network in training mode, wrapped as AttackBench wraps it: it counts forwards and backwards itself."""

    def __init__(self):
        super().__init__()
        self.net, self.forwards, self.backwards = small_net(torch.float32), 0, 0
        self.dropout = nn.Dropout(0.9)
        self.net.register_full_backward_hook(self.count)

    def count(self, module, grad_input, grad_output):
        self.backwards += 1

    def forward(self, x):
        self.forwards += 1
        return self.dropout(self.net(x))


@pytest.mark.filterwarnings("ignore:For .* no random image is of the target class")
@pytest.mark.parametrize("name", attack_table.ROWS)
def test_an_attack_runs_in_attackbench_as_it_does_here(name):
    x, y = known_inputs(torch.float32)
    x, wrong = x.requires_grad_(), (y + 1) % 6
    row = attack_table.ROWS[name]
    norm = row.norms[-1]
    attack, model = row.made(name, norm, attack_table.EPS[norm], row.short), Counting().train()
    before = state_of(model.net)
    found = inputopt.as_attackbench(attack)(model, x, y)
    assert (found.shape, found.dtype, found.requires_grad) == (x.shape, x.dtype, False)
    assert bool(((found >= 0) & (found <= 1)).all())
    assert model.forwards > 1, "the model itself is run"
    assert row.gradient_free or model.backwards > 0
    assert model.training
    assert model.dropout.training
    assert state_of(model.net) == before
    wanted = attack(small_net(torch.float32), x, y)
    with torch.no_grad():
        fooled = small_net(torch.float32)(found).argmax(1) != y
    assert torch.equal(fooled, wanted.success)
    torch.testing.assert_close(found[fooled], wanted.x[fooled], rtol=0, atol=1e-4)
    assert torch.equal(found[~fooled], x.detach()[~fooled]), "unperturbed where it failed"
    aimed = inputopt.as_attackbench(attack)(model, x, y, targets=wrong, targeted=True)
    moved = (aimed != x).flatten(1).any(1)
    with torch.no_grad():
        assert torch.equal(small_net(torch.float32)(aimed)[moved].argmax(1), wrong[moved])


def test_one_target_serves_for_all_and_the_seed_reaches_the_attack():
    x, y = known_inputs(torch.float32, 20)
    x, y = x[y != 2], y[y != 2]
    net = small_net(torch.float32)
    attack = inputopt.attacks.PGD("l2", 2.0, steps=20)
    found = inputopt.as_attackbench(attack)(net, x, y, targets=2, targeted=True)
    moved = (found != x).any(1)
    assert moved.any()
    with torch.no_grad():
        assert bool((net(found)[moved].argmax(1) == 2).all())
    ones = [inputopt.as_attackbench(attack, seed)(net, x, y) for seed in (0, 0, 1)]
    assert torch.equal(ones[0], ones[1])
    assert not torch.equal(ones[0], ones[2])
    assert torch.equal(ones[2], torch.where(attack(net, x, y, seed=1).success[:, None], ones[2], x))


def test_what_is_no_attack_and_missing_targets_are_refused():
    with pytest.raises(TypeError, match=r"an attack with its settings, such as PGD\(eps=0\.1\), not ABCMeta\."):
        inputopt.as_attackbench(inputopt.attacks.PGD)
    x, y = known_inputs(torch.float32)
    with pytest.raises(ValueError, match="targeted needs targets"):
        inputopt.as_attackbench(inputopt.attacks.PGD())(small_net(torch.float32), x, y, targeted=True)
