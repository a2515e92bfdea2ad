"""Every result says in a line what it is, and in HTML shows the same without letting text become markup."""

import base64
import io
import re
from dataclasses import replace

import pytest
import torch
from contracts import digits, digits_net
from PIL import Image

import inputopt
from inputopt.attribution.spurious import ClassFinding, Spurious
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.indicators import Indicator
from inputopt.images import thumbnail
from inputopt.summaries import Summary, Table, settings_text

LONGEST = 300
IMAGES = re.compile(r'src="data:image/png;base64,([^"]+)"')


def xor():
    return inputopt.MLP([2, 3, 1], "tanh", "sigmoid"), [[0.0, 1.0], [1.0, 1.0]], [[1.0], [0.0]]


def attacked():
    return inputopt.attacks.PGD(eps=0.1, steps=3)(digits_net(), digits().held_x[:12], digits().held_y[:12])


def picture():
    return inputopt.visualize(inputopt.load("digits-cnn"), inputopt.Class(3), 28, 2, colours=1, seed=7)


def report():
    return inputopt.evaluate(digits_net(), digits().held_x[:12], digits().held_y[:12], preset="quick")


def curve():
    chosen = {"ddn": inputopt.attacks.DDN(steps=5), "fmn": inputopt.attacks.FMN(steps=5)}
    return inputopt.robustness_curve(digits_net(), digits().held_x[:6], digits().held_y[:6], attacks=chosen)


def found_spurious():
    finding = ClassFinding(4, 9, 8, 0.3, (0, 0), 0.7, 0.2, (1, 0), 0.75)
    return Spurious((2, 1), torch.zeros(1, 2, 1), torch.zeros(1, 2, 1), (finding,))


MADE = {
    "Result": (
        attacked,
        r"\d+ of 12 succeeded .*median distance(?: of these)? 0\.1 \(linf\), forwards per example .*made by PGD",
    ),
    "Report": (report, r"clean accuracy \d.*robust accuracy at most .*linf 0\.1, preset quick, 12 inputs"),
    "RobustnessCurve": (curve, r"6 inputs, median distance \(l2\): ddn \d.*, fmn \d.*, all attacks \d"),
    "Picture": (picture, "1 x 28 x 28, made by visualize, on digits-cnn"),
    "Atlas": (
        lambda: inputopt.atlas(
            inputopt.load("digits-cnn"), "conv1", [digits().held_x[0]], [2, 1], 28, 2, colours=1, top=1, patch=8
        ),
        "layer conv1, 2 channels, 1 photo patches each",
    ),
    "EvolvedImages": (
        lambda: inputopt.evolve_images(inputopt.load("digits-cnn"), [3, 5], (1, 28, 28), 2),
        r"\d of 2 targets reached, median probability .*, 2 generations, 128 forwards",
    ),
    "Spurious": (found_spurious, "1 classes, regions 2 x 1, suspicious classes: 4"),
    "Frozen": (
        lambda: inputopt.Frozen(digits_net(), (0, 2), 0.5, 0.25),
        r"MLP .*bounds 0 to 2, normalised by mean 0.5",
    ),
    "History": (lambda: inputopt.train(*xor(), steps=20), r"20 updates, all steps done, error .* to .*, \d+ samples"),
    "Gradients": (lambda: inputopt.gradients(*xor()), r"cost 0\.\d+, norm by layer: \S+, \S+, inputs \[2, 2\], \d"),
    "Evolution": (
        lambda: inputopt.evolve(*xor(), generations=3, stop_error=0),
        "error .*3 generations, 600 networks evaluated",
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_result_is_one_short_line_and_a_block_of_html(kind):
    make, words = MADE[kind]
    made = make()
    text = repr(made)
    assert re.fullmatch(rf"<{kind}: .*{words}.*>", text), text
    assert len(text) <= LONGEST
    html = made._repr_html_()
    assert f"<b>{kind}</b>" in html
    assert "tensor(" not in html + text
    assert html.count("<div") == html.count("</div>")
    assert html.count("<tr>") == html.count("</tr>") >= 1


def test_a_report_has_a_table_of_attacks_and_its_indicators():
    rows = (AttackRow("PGD, 8 steps", 12, (1, 2), 1234, 999, 0.5),)
    doubt = Indicator("zero_gradient", 0.5, "The gradient is zero.", "Use <another> attack.")
    html = replace(report(), attacks=rows, indicators=(doubt,))._repr_html_()
    cells = [re.sub("<[^>]+>", "|", row) for row in re.findall("<tr>(.*?)</tr>", html)]
    assert any(row.count("|") > 6 and "PGD, 8 steps" in row and "1,234" in row and "|2|" in row for row in cells)
    assert "zero_gradient" in html
    assert "Use &lt;another&gt; attack." in html


def test_text_is_escaped():
    evil = "<script>alert('x')</script>\""
    summary = Summary(
        evil, [(evil, evil)], [(evil, evil)], [Table([evil], [[evil]])], [evil], [("data:image/png;base64,AA", evil)]
    )
    assert "<script" not in summary.html()
    assert summary.html().count("&lt;script&gt;") == 10
    named = replace(picture(), recipe={"made by": evil, "settings": {"layers": evil}, "model": {"name": evil}})
    assert "<script" not in named._repr_html_()


def test_pictures_are_shown_as_they_are():
    made = picture()
    (found,) = IMAGES.findall(made._repr_html_())
    image = Image.open(io.BytesIO(base64.b64decode(found)))
    assert image.size == (84, 84)  # 28 pixels, three times as large
    assert image.resize((28, 28), Image.Resampling.NEAREST).tobytes() == inputopt_image(made).tobytes()
    assert len(IMAGES.findall(attacked()._repr_html_())) == 8
    assert "settings" in made._repr_html_()
    assert "seed=7" in made._repr_html_()


def inputopt_image(made):
    levels = (made.x[0] * 255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.numpy())


def test_thumbnails_of_large_pictures_are_small():
    source = thumbnail(torch.rand(3, 600, 300))
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert image.size == (112, 224)


def test_a_result_without_images_or_origin_still_has_a_representation():
    found = inputopt.attacks.PGD(eps=0.3, steps=3)(xor_classifier(), torch.rand(4, 2))
    assert IMAGES.findall(found._repr_html_()) == []
    assert "made by" not in repr(replace(found, made_by={}))


def xor_classifier():
    return inputopt.MLP([2, 4, 3], "tanh", "identity")


def test_a_frozen_network_lists_its_optimisations_once_they_are_decided():
    net = inputopt.Frozen(inputopt.load("digits-cnn"))
    assert "optimisations decided at the first input" in repr(net)
    net(torch.rand(2, 1, 28, 28))
    used = [name for name, said in net.optimisations.items() if said == "used"]
    assert (", ".join(used) or "optimisations none") in repr(net)
    assert all(name in net._repr_html_() for name in net.optimisations)


def test_long_settings_are_cut():
    assert settings_text({"a": "x" * 99, "b": None, "c": 1}, most=10) == "a=xxxxxxx..., c=1"
