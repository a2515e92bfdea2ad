import json
import warnings
from datetime import datetime, timezone

import pytest
import torch
from contracts import DTYPES, assert_same, digits, digits_net, fingerprint, known_inputs, small_net
from safetensors.torch import load_file

import inputopt
from inputopt.attacks import FGSM, PGD, Square
from inputopt.evaluation import protocol_run
from inputopt.evaluation.protocols import PRESETS, Stage, find_protocol
from inputopt.evaluation.state import margin_reduced
from inputopt.files import FileError
from inputopt.pictures.picture import read_photo

EPS = {"l0": 1.0, "l1": 0.6, "l2": 0.3, "linf": 0.1}


@pytest.fixture
def brief(monkeypatch):
    """Protocols of a few steps, so that what is tested is the evaluation."""

    def brief(preset, norm):
        find_protocol(preset, norm)
        stages = [Stage("one", FGSM(norm)), Stage("two", PGD(norm, steps=4)), Stage("three", PGD(norm, steps=9))]
        if norm in ("l2", "linf"):
            stages.append(Stage("squares", Square(norm, steps=20)))
        return [*stages, Stage("gained", PGD(norm, steps=5), margin_reduced)]

    monkeypatch.setattr(protocol_run, "find_protocol", brief)


def known(count=40, dtype=torch.float64):
    x, y = known_inputs(dtype, count)
    y = y.clone()
    y[3] = (y[3] + 1) % 6  # one is wrong from the start
    return small_net(dtype), x, y


# ----------------------------------------------------------------------------------------------------------- the report
@pytest.mark.parametrize("norm", EPS)
def test_the_figures_agree_with_each_other_and_with_the_network(norm, brief):
    net, x, y = known()
    shown = []
    report = inputopt.evaluate(net, x, y, norm, EPS[norm], progress=lambda *what: shown.append(what))
    assert report.clean_accuracy == 39 / 40
    assert report.robust_accuracy == float(report.robust.double().mean()) <= report.clean_accuracy
    with torch.no_grad():
        assert_same(net(report.x).argmax(1) == y, report.robust)
    assert torch.equal(report.x[report.robust], x[report.robust])
    assert torch.equal(report.x[3], x[3])  # wrong as it is: nothing to attack
    moved = (report.x - x).flatten(1)
    size = {"l0": (moved != 0).sum(1), "l1": moved.abs().sum(1), "l2": moved.norm(dim=1), "linf": moved.abs().amax(1)}
    assert float(size[norm].max()) <= EPS[norm]
    fooled = [place for row in report.attacks for place in row.fooled]
    assert len(set(fooled)) == len(fooled)
    assert set(fooled) == set(range(40)) - {3} - set(report.robust.nonzero()[:, 0].tolist())
    assert 0 < len(fooled) < 39
    assert shown == [(row.name, row.tried) for row in report.attacks]


def test_each_attack_sees_only_those_that_stand(brief):
    net, x, y = known()
    report = inputopt.evaluate(net, x, y, "linf", 0.1)
    state = 39 - int(inputopt.certify(net, x, y, "linf", 0.1, budget=0).certified.sum())
    assert 0 < state < 39  # inputs that cheap bounds certify are not attacked
    one = report.attacks[0]
    assert (one.forwards, one.backwards) == (2 * state, state)
    for row in report.attacks[:-1]:
        assert row.tried == state
        state -= len(row.fooled)
    assert report.attacks[-1].tried <= state


def test_the_seed_and_the_ids_and_not_the_cut_decide(brief):
    net, x, y = known()
    whole = inputopt.evaluate(net, x, y, "linf", 0.08, seed=1)
    assert_same(inputopt.evaluate(net, x, y, "linf", 0.08, seed=1).x, whole.x)
    assert not torch.equal(inputopt.evaluate(net, x, y, "linf", 0.08, seed=2).x, whole.x)
    for rows in (torch.arange(0, 17), torch.arange(17, 40).flip(0)):
        part = inputopt.evaluate(net, x[rows], y[rows], "linf", 0.08, seed=1, ids=rows)
        assert_same(part.robust, whole.robust[rows])
        assert_same(part.x, whole.x[rows], 1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("own", [False, True])
def test_eps_levels_and_mask_reach_every_attack(own, dtype, brief):
    net, x, y = known(dtype=dtype)
    x = (x * 255).round() / 255
    eps = torch.linspace(0, 0.3, 40)
    mask = torch.arange(12) < 9
    mask = mask.expand(40, 12).clone() if own else mask
    before = fingerprint(net)
    report = inputopt.evaluate(net, x, y, "linf", eps, levels=256, mask=mask)
    assert fingerprint(net) == before
    moved = (report.x - x).abs()
    assert not bool(moved[:, 9:].any())
    assert bool((moved.amax(1) <= eps.to(dtype)).all())
    assert_same(report.x * 255, (report.x * 255).round(), 1e-4)
    assert report.x.dtype == dtype
    assert report.robust_accuracy < report.clean_accuracy


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("norm", EPS)
def test_every_preset_has_attacks_in_every_norm(preset, norm):
    stages = find_protocol(preset, norm)
    assert len({stage.name for stage in stages}) == len(stages) >= 2
    assert {stage.attack.norm for stage in stages} == {norm}
    assert any(stage.attack.gradient_free for stage in stages) == (preset != "quick")


@pytest.mark.parametrize("norm", EPS)
def test_the_quick_preset_at_work(norm):
    net, x, y = known(count=12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = inputopt.evaluate(net, x, y, norm, EPS[norm], "quick")
    alone = inputopt.attacks.FGSM(norm, EPS[norm])(net, x, y)
    assert report.robust_accuracy <= float((~alone.success).double().mean())


# ---------------------------------------------------------------------------------------------------------------- files
def test_a_report_is_saved_whole(tmp_path, brief):
    net, x, y = known()
    report = inputopt.evaluate(net, x, y, "l2", torch.full((40,), 0.3), seed=3)
    report.save(tmp_path / "r")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["report.json", "x.safetensors"]
    plain = json.loads((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))
    assert plain["robust"] == report.robust.tolist()
    assert plain["robust_accuracy"] == report.robust_accuracy
    assert plain["seed"] == 3
    assert [row["name"] for row in plain["attacks"]] == [row.name for row in report.attacks]
    held = load_file(tmp_path / "r" / "x.safetensors")
    assert_same((held["x"], held["robust"]), (report.x, report.robust))  # the images, and not the flags alone


def test_a_report_names_what_was_evaluated_and_when(brief):
    net, x, y = known(count=12)
    before = datetime.now(timezone.utc).replace(microsecond=0)
    plain = json.loads(json.dumps(inputopt.evaluate(net, x, y, eps=0.1).as_plain()))
    assert (plain["count"], plain["shape"], plain["labels"], plain["levels"]) == (12, [12], "given", None)
    assert plain["model"]["class"] == inputopt.Frozen(net).kind
    assert plain["versions"]["torch"] == torch.__version__
    assert before <= datetime.fromisoformat(plain["date"]) <= datetime.now(timezone.utc)
    assert inputopt.evaluate(net, x, eps=0.1).settings["labels"] == "the model's own predictions"


def test_images_that_fool_are_saved_under_the_names_of_the_inputs(tmp_path, brief):
    net, x, y = digits_net(), digits().held_x[::80][:12], digits().held_y[::80][:12]
    report = inputopt.evaluate(net, (x * 255).round() / 255, y, eps=26 / 255, levels=256)
    report.save(tmp_path, [f"{label}/photo{row}.jpg" for row, label in enumerate(y.tolist())])
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}
    wanted = {f"{y[row]}/photo{row}.png" for row in (report.clean & ~report.robust).nonzero()[:, 0].tolist()}
    assert written == wanted
    assert len(wanted) > 3
    for name in wanted:
        image = read_photo(tmp_path / name, 1)[None]
        assert int(net(image).argmax()) != int(name[0]), "an image on 256 levels fools the model when it is read back"
    with pytest.raises(ValueError, match="12 names"):
        report.save(tmp_path / "none", ["a"])
    assert not (tmp_path / "none").exists()


def test_a_report_that_cannot_be_written(tmp_path, brief):
    net, x, y = known(count=4)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError):
        inputopt.evaluate(net, x, y, "linf", 0.1).save(tmp_path / "file")


# --------------------------------------------------------------------------------------------------------------- doubts
def doubts(model, x, y, **settings):
    return " ".join(inputopt.evaluate(model, x, y, "linf", 0.1, **settings).warnings)


def test_no_doubts_about_a_sound_network(brief):
    net, x, y = known()
    assert doubts(net, x, y) == ""


def test_probabilities_are_doubted(brief):
    net, x, y = known()
    assert "probabilities" in doubts(lambda x: net(x).softmax(1), x, y)


def test_few_classes_are_no_reason_to_doubt(brief):
    net, x, _ = known()
    assert doubts(lambda x: net(x)[:, :3], x, net(x)[:, :3].argmax(1)) == ""


def test_random_answers_are_doubted(brief):
    net, x, y = known()
    noise = torch.Generator().manual_seed(0)
    model = lambda x: net(x) + 0.01 * torch.randn(len(x), 6, generator=noise, dtype=x.dtype)  # noqa: E731
    assert "because of internal state or randomness" in doubts(model, x, y)


def test_masked_gradients_are_found_out_by_squares(brief):
    """Rounding the input hides the gradient: attacks by it find nothing, random squares do."""
    net, x, y = known()

    def masked(x):
        return net((x * 20).round() / 20 + 0 * x)

    with torch.no_grad():
        y = masked(x).argmax(1)
    report = inputopt.evaluate(masked, x, y, "linf", 0.15)
    fooled = {row.name: len(row.fooled) for row in report.attacks}
    assert fooled["squares"] > 0
    assert any("exactly zero at 100.0 %" in doubt for doubt in report.warnings)
    assert any("gradient-free attack fooled" in doubt for doubt in report.warnings)


# ------------------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"preset": "fast"}, "preset"),
        ({"norm": "l3"}, "norm"),
        ({"eps": -1.0}, "at least 0"),
        ({"eps": float("nan")}, "at least 0"),
        ({"eps": torch.ones(3)}, "eps"),
        ({"levels": 1}, "levels"),
        ({"eot_samples": 0}, "eot_samples"),
        ({"mask": torch.ones(5, dtype=torch.bool)}, "mask"),
    ],
    ids=str,
)
def test_bad_input_is_refused(changed, words, brief):
    net, x, y = known(count=4)
    shown = []
    with pytest.raises((ValueError, TypeError), match=words):
        inputopt.evaluate(net, x, y, progress=lambda *what: shown.append(what), **changed)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_the_default_distance_is_scaled_to_the_bounds(norm):
    x, y = known_inputs(count=12)
    unit = inputopt.Frozen(small_net())
    wide = inputopt.Frozen(lambda x: small_net()(x / 255), bounds=(0, 255))
    one = inputopt.evaluate(unit, x, y, norm=norm, preset="quick")
    other = inputopt.evaluate(wide, 255 * x, y, norm=norm, preset="quick")
    assert other.settings["eps"] == pytest.approx(255 * one.settings["eps"])
    assert other.robust.tolist() == one.robust.tolist()


def test_a_distance_meant_for_other_bounds_is_refused():
    x, y = known_inputs(count=4)
    wide = inputopt.Frozen(lambda x: small_net()(x / 255), bounds=(0, 255))
    with pytest.raises(ValueError, match=r"did you mean 8\?"):
        inputopt.evaluate(wide, 255 * x, y, eps=8 / 255)
    with pytest.raises(ValueError, match=r"0\.03137 for inputs in 0 to 1 is 8 here"):
        inputopt.evaluate(wide, (255 * x).round(), y, eps=8 / 255, levels=256)


def test_examples_that_only_labels_lead_to_lie_beyond_the_boundary():
    """At the boundary the class would depend on the rounding of the batch that an input is in."""
    net, (x, y) = small_net(), known_inputs(count=12)

    def labels(x):
        return torch.nn.functional.one_hot(net(x).argmax(1), 6).to(x)

    report = inputopt.evaluate(labels, x, y, norm="l2", eps=2.0, preset="quick")
    fooled = ~report.robust
    assert bool(fooled.any())
    with torch.no_grad():
        ranked = net(report.x[fooled]).sort(1).values
    assert bool((ranked[:, -1] - ranked[:, -2] > 1e-4).all())
    assert not {"batch_dependence", "unconfirmed_success"} & {each.id for each in report.indicators}


@pytest.mark.parametrize("labels", ["given", "predicted"])
def test_a_class_that_shares_the_highest_logit_is_the_prediction(labels, brief):
    """Votes, rounded logits and half precision have ties, and the prediction is then the first of the tied classes."""
    net, (x, _) = small_net(), known_inputs(count=12)

    def rounded(z):
        return (2 * net(z)).round() / 2 + 0 * net(z)

    y = rounded(x).argmax(1)
    tied = (rounded(x) == rounded(x).amax(1, keepdim=True)).sum(1) > 1
    assert tied.any()
    report = inputopt.evaluate(rounded, x, y if labels == "given" else None, "linf", 1e-6, "quick")
    assert report.clean_accuracy == 1
    assert bool(report.clean.all())
    fooled = torch.zeros(12, dtype=torch.bool)
    fooled[[row for attack in report.attacks for row in attack.fooled]] = True
    assert torch.equal(report.robust, ~fooled)
