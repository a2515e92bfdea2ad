"""What an evaluation measures beside its attacks: what it decides by it, and that outputs' form does not matter."""

import pytest
import torch
from contracts import digits, digits_net, known_inputs, small_net

import inputopt
from inputopt.evaluation import protocols
from inputopt.evaluation.measurements import late_successes
from inputopt.evaluation.probes.gradient_agreement import gradient_agreement, notable
from inputopt.search.inputs import check_problem
from inputopt.search.network_draws import unseeded

X, Y = digits().held_x[::50], digits().held_y[::50]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setitem(protocols.BLACK_BOX, "standard", 40)
    monkeypatch.setitem(protocols.DECISIONS, "standard", 40)
    monkeypatch.setitem(protocols.APGD_STEPS, "standard", 10)


def names(norm):
    return [stage.name for stage in protocols.find_protocol("standard", norm)]


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_shortcuts_are_taken_only_where_gradients_lead(norm, short):
    net, eps = small_net(), {"l0": 1.0, "l1": 0.6, "l2": 0.3, "linf": 0.1}[norm]
    x, _ = known_inputs(count=12)
    sound = inputopt.evaluate(net, x, norm=norm, eps=eps)
    assert [row.name for row in sound.attacks] == names(norm)
    shattered = inputopt.evaluate(lambda x: net(x + 1e-3 * torch.sin(1e5 * x)), x, norm=norm, eps=eps)
    further = [stage.name for stage in protocols.full_search("standard", norm, 6)]
    assert [row.name for row in shattered.attacks][-len(further) :] == further
    left = 12
    for row in shattered.attacks:
        assert row.tried == left, "every attack runs on all inputs that are still robust"
        left -= len(row.fooled)


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_without_a_derivative_only_gradient_free_searches_run(norm, short):
    net, (x, y) = small_net(), known_inputs(count=12)
    report = inputopt.evaluate(lambda x: net(x).detach(), x, y, norm, {"linf": 0.2}.get(norm, 2.0))
    assert {row.backwards for row in report.attacks} == {0}
    searches = ["DecisionSearch"] if norm in ("l2", "linf") else []
    assert [row.attack for row in report.attacks][1:] == searches
    assert 0 < report.robust_accuracy < 1 or norm != "linf"
    assert [each.id for each in report.indicators] == ["no_gradient"]


FORMS = {
    "large logits": lambda z: 1000 * z,
    "small logits": lambda z: z / 1000,
    "tiny logits": lambda z: z * 1e-36,
    "probabilities": lambda z: z.softmax(1),
    "log-probabilities": lambda z: z.log_softmax(1),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of_the_outputs_does_not_change_what_is_robust(name):
    net = digits_net()
    plain = inputopt.evaluate(net, X, Y, eps=0.05, preset="quick")
    report = inputopt.evaluate(lambda x: FORMS[name](net(x)), X, Y, eps=0.05, preset="quick")
    assert int((plain.robust != report.robust).sum()) <= 1  # the smooth part of cross-entropy has another scale
    assert 0.2 < plain.robust_accuracy < 0.9


@pytest.mark.parametrize("name", ["probabilities", "tiny logits"])
def test_pgd_succeeds_as_often_where_cross_entropy_would_underflow(name):
    net, attack = digits_net(), inputopt.attacks.PGD(eps=0.05, steps=20)
    plain = attack(net, X, Y).success
    with pytest.warns(inputopt.InputoptWarning) if name == "probabilities" else torch.no_grad():
        found = attack(lambda x: FORMS[name](20 * net(x) if name == "tiny logits" else net(x)), X, Y)
    assert int((plain != found.success).sum()) <= 1


def agreement(model, x, y):
    net = inputopt.Frozen(model)
    problem, traits = check_problem(net, x, y)
    return gradient_agreement(net, problem, traits.scores, unseeded, twice=True)


def test_finite_differences_agree_on_a_sound_network_and_not_with_a_wrong_gradient():
    net = digits_net()
    sound = agreement(net, X, Y)
    assert not bool((sound.wrong | sound.noisy).any())
    wrong = agreement(lambda x: net(2 * x.detach() - x), X, Y)  # the value of net(x), with a reversed gradient
    assert bool(wrong.shattered.all())
    assert not bool(wrong.noisy.any())
    flat = agreement(lambda x: net(x.detach()) + 0 * x.sum(), X, Y)
    assert bool(flat.zero.all())
    assert not bool((flat.shattered | flat.vanishing).any())


def test_images_of_a_batch_dependent_network_are_judged_as_reported(short):
    net = digits_net()

    def relative(x):
        return net(x - 0.5 * x.mean(0) + 0.05)

    report = inputopt.evaluate(relative, X, Y, eps=0.05)
    with torch.no_grad():
        alone = torch.cat([relative(row[None]) for row in report.x]).argmax(1) == Y
    assert torch.equal(alone, report.robust)
    assert "batch_dependence" in {each.id for each in report.indicators}


def test_late_successes_are_those_of_the_last_tenth_of_the_passes():
    net = digits_net()
    found = inputopt.attacks.PGD(eps=0.05, steps=20, step_size=0.1, random_start=False)(net, X, Y)
    late = found.success & (found.forwards >= 19)
    assert late_successes(found) == int(late.sum())
    assert late_successes(None) == 0
    everything = inputopt.attacks.PGD(eps=0.5, steps=20)(net, X, Y)
    assert bool(everything.success.all())
    assert late_successes(everything) == 0


@pytest.mark.parametrize(
    ("wrong", "of", "expected"),
    [(0, 1, False), (1, 1, True), (1, 3, False), (2, 8, False), (3, 8, True), (3, 64, False)],
)
def test_a_wrong_gradient_at_one_of_a_few_inputs_is_no_sign_of_masking(wrong, of, expected):
    assert notable(torch.arange(of) < wrong, 0.05) == expected


def test_a_sensitive_network_whose_class_one_short_step_changes_is_followed_by_its_gradient():
    """As networks on photos are: the margin is curved over the step, and crosses 0 within it."""
    x = torch.full((4, 1, 8, 8), 0.5)
    y = torch.zeros(4, dtype=torch.int64)

    def steep(inputs):
        rise = 1 + torch.tanh(40 * (inputs - 0.5).sum((1, 2, 3)))  # over the step 0.128 tanh is far from linear
        return torch.stack([rise - 0.5, torch.zeros_like(rise)], 1)

    net = inputopt.Frozen(steep)
    problem, traits = check_problem(net, x, y)
    assert not gradient_agreement(net, problem, traits.scores, unseeded).shattered.any()
    less = check_problem(inputopt.Frozen(lambda inputs: steep(inputs) + torch.tensor([2.0, 0.0])), x, y)[0]
    stays = inputopt.Frozen(lambda inputs: steep(inputs) + torch.tensor([2.0, 0.0]))
    assert gradient_agreement(stays, less, traits.scores, unseeded).shattered.all()


@pytest.mark.parametrize(("side", "falls", "shattered"), [(8, 0.4, True), (128, 0.4, False), (128, 0.2, True)])
def test_a_step_of_every_pixel_of_a_photo_need_not_be_linear(side, falls, shattered):
    """The margin is 1, and falls by a share of itself over the first tenth of the step, and no further."""
    steep = 10 * falls / (0.002 * side**2)

    def saturating(inputs):
        moved = ((0.5 - inputs).sum((1, 2, 3)) * steep).clamp(max=falls)
        return torch.stack([6 - moved, torch.full_like(moved, 5)], 1)

    net = inputopt.Frozen(saturating)
    problem, traits = check_problem(net, torch.full((4, 1, side, side), 0.5), torch.zeros(4, dtype=torch.int64))
    found = gradient_agreement(net, problem, traits.scores, unseeded)
    assert (bool(found.shattered.all()), bool(found.curved.all())) == (shattered, not shattered)
    assert bool(found.wrong.all()), "searches that the gradient would make unlikely to succeed are not skipped"
