"""The searches of the Fool tab: every mode and norm gives a file that fools, and code that makes it again."""

import re

import numpy as np
import pytest
import torch

from inputopt.app.fooling import DIGITS, DISTANCES, FoolSettings, code, load_frozen, prepared, saved, search
from inputopt.app.image_views import difference, download, png_bytes, show_probabilities
from inputopt.app.uploads import decode
from inputopt.pictures.picture import read_photo, to_image
from inputopt.zoo.digits import load_digits


@pytest.fixture(scope="module")
def digit():
    return load_digits().held_x[17:18]


@pytest.fixture(scope="module")
def net():
    return load_frozen("digits-cnn")


def nothing(step):
    pass


def predicted(net, png):
    return int(net(read_photo(decode(png), 1)[None]).argmax())


CASES = [("within", norm) for norm in ("linf", "l2", "l1", "l0")] + [("nearest", norm) for norm in ("linf", "l2", "l0")]


@pytest.mark.parametrize(("mode", "norm"), CASES)
@pytest.mark.parametrize("target", [None, 8])
def test_the_saved_file_fools_the_network(net, digit, mode, norm, target):
    most = DISTANCES[DIGITS][norm][1]
    settings = FoolSettings("digits-cnn", mode, norm, most, target, 200)
    result = search(net, settings, digit, nothing)
    fooled = saved(net, settings, digit, result)
    assert fooled.fools
    assert predicted(net, fooled.png) == (8 if target is not None else int(fooled.logits.argmax()))
    assert predicted(net, fooled.png) != int(net(digit).argmax())
    if mode == "within":
        size = {"linf": torch.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
        assert (fooled.x - digit).flatten().norm(size) <= most * (1 + 1e-5)


@pytest.mark.parametrize("number", range(0, 1000, 100))
def test_what_ascend_leaves_unrecognised_stays_so_in_the_file(net, number):
    x = load_digits().held_x[number : number + 1]
    settings = FoolSettings("digits-cnn", "ascend", steps=1000)
    fooled = saved(net, settings, x, search(net, settings, x, nothing))
    assert fooled.fools
    assert predicted(net, fooled.png) != int(net(x).argmax())


def test_a_failure_is_not_called_a_success(net, digit):
    settings = FoolSettings("digits-cnn", "within", "linf", 0.004, None, 5)
    fooled = saved(net, settings, digit, search(net, settings, digit, nothing))
    assert not fooled.fools
    assert predicted(net, fooled.png) == int(net(digit).argmax())


@pytest.mark.parametrize(
    "settings",
    [
        FoolSettings("digits-mlp", "within", "l2", 1.5, 8, 30, seed=5),
        FoolSettings("digits-mlp", "nearest", "linf", steps=100),
        FoolSettings("digits-mlp", "static", target=3),
        FoolSettings("digits-mlp", "ascend", steps=500),
    ],
    ids=lambda settings: settings.mode,
)
def test_the_code_makes_the_file_again(settings, digit, tmp_path, monkeypatch):
    net = load_frozen(settings.network)
    result = search(net, settings, digit, nothing)
    fooled = saved(net, settings, digit, result)
    (tmp_path / "input.png").write_bytes(png_bytes(to_image(digit[0])))
    monkeypatch.chdir(tmp_path)
    exec(compile(code(settings, fooled, int(result.label[0])), "shown code", "exec"), {})
    again = decode((tmp_path / "adversarial.png").read_bytes())
    assert np.array_equal(np.asarray(again), np.asarray(decode(fooled.png)))


def test_settings_are_refused_in_a_sentence(net, digit):
    with pytest.raises(ValueError, match="Choose a target class"):
        FoolSettings("digits-cnn", "static")
    with pytest.raises(ValueError, match="at most 2,000 steps"):
        FoolSettings("digits-cnn", steps=2001)
    label = int(net(digit).argmax())
    with pytest.raises(ValueError, match="gives this image the target class already"):
        search(net, FoolSettings("digits-cnn", target=label), digit, nothing)


def test_photos_are_cropped_to_the_network_and_their_size_is_kept(digit):
    photo = to_image(torch.rand(3, 300, 400))
    x = prepared("efficientnet-lite0", photo)
    assert x.shape == (1, 3, 224, 224)
    assert torch.equal(prepared("efficientnet-lite0", to_image(x[0])), x)
    assert torch.equal(prepared("digits-cnn", to_image(digit[0])), digit)


def test_the_difference_is_magnified_to_the_full_range():
    x0 = torch.full((1, 2, 2), 0.5)
    x = x0 + torch.tensor([[[0.1, -0.1], [0.05, 0.0]]])
    image, factor = difference(x, x0, (0.0, 1.0))
    assert factor == pytest.approx(10)
    assert np.asarray(image).tolist() == [[255, 0], [191, 128]]
    assert difference(x0, x0, (0.0, 1.0))[1] == 1


def test_bars_show_the_largest_of_many_classes():
    names = tuple(f"class {place}" for place in range(1000))
    before, now = torch.zeros(1000), torch.zeros(1000)
    before[7], now[900] = 1, 1
    shown = re.findall(r"class \d+", show_probabilities(names, {"Input": before, "Adversarial image": now}))
    assert len(shown) == 5
    assert shown[0] == "class 900"
    assert "class 7" in shown


def test_names_in_pages_are_escaped():
    assert "<script>" not in download('"><script>', b"", "<script>")
