"""The HTML page of a report: what it says, that it is complete in itself, and how it looks in a real browser."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
import torch
from browser import launched
from contracts import digits, digits_net, known_inputs, small_net
from torch import nn

import inputopt
from inputopt.attacks import DDN
from inputopt.evaluation.attack_row import AttackRow
from inputopt.evaluation.confidence import wilson
from inputopt.evaluation.indicators import Indicator
from inputopt.evaluation.report import Report
from inputopt.evaluation.report_page import nearest_distances
from inputopt.evaluation.report_page.bracket_drawing import bracket_drawing, parts_of
from inputopt.evaluation.report_page.curve_drawing import CurvePoint, curve_drawing
from inputopt.evaluation.report_page.rerun_code import command_line, python_code
from inputopt.evaluation.report_page.verdict import verdict_sentences
from inputopt.files import FileError

HOSTILE = "</title></style><script>alert(1)</script>\"'&{{7*7}}<img src=//example.org/x>"
PERCENT = " %"
"""As in `all_text`; on the page the space does not break."""


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text outside of styles."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text, self.inside = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside != "style":
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]

    def all_text(self):
        return " ".join(" ".join(self.text).split())


def written(report, path, *given, **settings):
    report.save_html(path, *given, **settings)
    return Elements(path.read_text(encoding="utf-8"))


def evaluated_digits():
    x, y = digits().held_x[::50], digits().held_y[::50]
    net = inputopt.load("digits-cnn-robust")
    return inputopt.evaluate(net, x, y, eps=0.2, preset="quick"), net, x


def complete(report, name="digits-cnn-robust"):
    """The report with what other parts of an evaluation add: certificates, indicators, and where inputs come from."""
    fired = Indicator("gradient_masking", 3, f"Three more were fooled {name}.", f"Use {name}.")
    mended = Indicator(
        "shattered_gradient", 0.6, "Differences disagree.", "", 0.25, "Smoothed: 70.0 % before.", "lowered"
    )
    extra = {
        "model": {**report.settings["model"], "name": name},
        "data": name,
        "of": 1000,
        "sampling": "stratified by class, seed 0",
        "command": ["evaluate", name, "digits", "--eps", "0.2"],
    }
    certified = report.robust & (torch.arange(len(report.robust)) % 2 > 0)
    return replace(
        report, indicators=(fired, mended), certified=certified, settings={**report.settings, **extra}
    )  # fmt: skip


@pytest.fixture(scope="module")
def robust_digits():
    return evaluated_digits()


# -------------------------------------------------------------------------------------------------------- what it says
def test_the_page_says_what_the_report_holds(robust_digits, tmp_path):
    report, net, x = robust_digits
    report = complete(report)
    page = written(report, tmp_path / "r.html", net, x, curve_examples=6, examples=2)
    text = page.all_text()
    for share in (report.clean_accuracy, report.robust_accuracy, report.certified_accuracy):
        assert f"{100 * share:.1f}{PERCENT}" in text
    for low, high in (report.clean_interval, report.interval, report.certified_interval):
        assert f"{100 * low:.1f}{PERCENT} to {100 * high:.1f}{PERCENT}" in text
    for each in report.indicators:
        assert each.id in text
        assert each.meaning in text
    assert "Use digits-cnn-robust." in text
    assert f"Smoothed: 70.0{PERCENT} before." in text
    for row in report.attacks:
        assert f"{row.name} {row.attack} {row.tried:,} {len(row.fooled)}" in text
        assert row.meaning in text
    assert "the reasons to doubt above apply to the curve as well." in text
    assert "20 of 1,000 inputs of digits-cnn-robust, stratified by class, seed 0" in text
    assert "Minimal distances of 6 of 20 inputs (seed 0) by MinimalNorm with 300 queries each" in text
    for name, value in report.settings["hashes"].items():
        assert f"hashes: {name} {value}" in text
    for name in ("seed", "dtype", "device", "preset"):
        assert f"{name} {report.settings[name]}" in text
    assert report.settings["versions"]["torch"] in text
    assert "inputopt evaluate digits-cnn-robust digits --eps 0.2" in text
    assert "- **Threat Model**: Linf" in text
    assert "model-index:" in text


def test_the_page_is_complete_in_itself_and_images_have_words(robust_digits, tmp_path):
    report, net, x = robust_digits
    page = written(report, tmp_path / "r.html", net, x, curve_examples=8, examples=3)
    assert len(page.of("img")) == 9
    assert all(each["src"].startswith("data:image/png;base64,") and each["alt"] for each in page.of("img"))
    assert page.of("script") == page.of("iframe") == page.of("object") == []
    assert {each["href"] for each in page.of("link")} == {"data:,"}
    for tag, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag == "img" or "src" not in attributes
    assert "url(" not in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(each["aria-label"] for each in page.of("svg") if each.get("role") == "img")
    assert all("scope" in each for each in page.of("th"))
    assert len(page.of("h1")) == 1


def test_names_are_text_and_never_markup(robust_digits, tmp_path):
    report, net, x = robust_digits
    report, names = complete(report, HOSTILE), [HOSTILE] * 10
    page = written(replace(report, settings={**report.settings, "model": {}}), tmp_path / "a.html", class_names=names)
    assert page.of("script") == []
    report = replace(report, attacks=(replace(report.attacks[0], name=HOSTILE, attack=HOSTILE), *report.attacks[1:]))
    page = written(report, tmp_path / "r.html", net, x, class_names=names, curve_examples=4)
    assert page.of("script") == []
    assert len(page.of("img")) == 12
    assert not any("example.org" in str(each) for each in page.of("img") if "example.org" in each["src"])
    assert page.all_text().count("alert(1)") > 10
    assert "49" not in re.findall(r"\{\{(.+?)\}\}", page.all_text())


def test_a_page_of_the_report_alone_leaves_out_what_needs_the_network(robust_digits, tmp_path):
    report, _, _ = robust_digits
    page = written(report, tmp_path / "r.html")
    assert page.of("img") == []
    assert "Accuracy against distance" not in page.all_text()
    assert "Accuracy per class" in page.all_text()
    row = AttackRow("a", 2, (0,), 4, 2, 0.1)
    bare = Report(1.0, 0.5, torch.tensor([False, True]), torch.zeros(2, 3), (row,), (), {}, (0.1, 0.9))
    text = written(bare, tmp_path / "bare.html").all_text()
    assert f"At most 50.0{PERCENT} of the inputs are still classified correctly under attack." in text
    assert "Run it again" in text
    assert "Accuracy per class" not in text


@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 2, 3)])
def test_inputs_that_are_no_images_are_tables_of_changes(shape, tmp_path):
    x, y = known_inputs(count=10)
    net = nn.Sequential(nn.Flatten(), small_net())
    x = x.reshape(10, *shape)
    report = inputopt.evaluate(net, x, y, "l2", 0.3, "quick")
    page = written(report, tmp_path / "r.html", net, x, examples=2, curve_examples=10)
    assert page.of("img") == []
    assert page.all_text().count("The largest of ") == 2
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr><th scope="row">([\d, ]+)</th><td>([\d.e+-]+)</td><td>([\d.e+-]+)</td></tr>', text)
    assert len(rows) == 12
    position = int(re.search(r"input (\d+)</p>", text)[1])
    for place, before, after in rows[:6]:
        index = tuple(map(int, place.split(", ")))
        assert float(before) == pytest.approx(float(x[position][index]), rel=1e-3)
        assert before != after


def test_the_fragile_examples_are_the_nearest_and_the_network_says_what_they_show(tmp_path):
    x, y = known_inputs(count=12)
    y = y.clone()
    y[4] = (y[4] + 1) % 6  # misclassified as it is: no example
    net = small_net()
    report = inputopt.evaluate(net, x, y, "l2", 0.3, "quick")
    nearest = nearest_distances.measured(report, inputopt.Frozen(net), x, 12)
    assert float(nearest.distance[4]) == 0
    written(report, tmp_path / "r.html", net, x, examples=20, curve_examples=12)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    shown = re.findall(r"L2 distance ([\d.e-]+); input (\d+)</p>", text)
    order = sorted((float(distance), row) for row, distance in enumerate(nearest.distance) if 0 < distance < torch.inf)
    assert [int(row) for _, row in shown] == [row for _, row in order]
    assert [float(distance) for distance, _ in shown] == pytest.approx([each for each, _ in order], rel=1e-3)
    judged = re.findall(r'<b>(\d)</b> ([\d.]+).% .*?<b class="became">(\d)</b> ([\d.]+).%', text)
    with torch.no_grad():
        for (kind, chance, became, then), (_, row) in zip(judged, order, strict=True):
            for wanted, probability, point in ((kind, chance, x[row]), (became, then, nearest.x[row])):
                probabilities = net(point[None]).softmax(1)[0]
                assert int(probabilities.argmax()) == int(wanted)
                assert float(probability) == pytest.approx(100 * float(probabilities.max()), abs=0.06)
            assert int(kind) == int(y[row]) != int(became)


# ------------------------------------------------------------------------------------------------------------ distances
def test_minimal_distances_are_of_a_seeded_sample_and_never_above_those_of_the_evaluation(robust_digits):
    report, net, x = robust_digits
    found = nearest_distances.measured(report, inputopt.Frozen(net), x, 8)
    assert len(found.rows) == len(set(found.rows.tolist())) == 8
    assert torch.equal(found.rows, found.rows.sort().values)
    assert torch.equal(found.rows, nearest_distances.sampled_rows(20, 8, 0))
    assert not torch.equal(found.rows, nearest_distances.sampled_rows(20, 8, 1))
    fooled = ~report.robust[found.rows]
    reached = (report.x - x)[found.rows].flatten(1).abs().amax(1)
    assert bool((found.distance[fooled] <= reached[fooled]).all())
    size = (found.x - x[found.rows]).flatten(1).abs().amax(1)
    assert torch.equal(size[found.distance > 0], found.distance[found.distance > 0])
    with torch.no_grad():
        assert not bool((net(found.x).argmax(1) == report.label[found.rows]).any())
    every = nearest_distances.sampled_rows(5, 8, 0)
    assert every.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:Every gradient of this attack was zero")
def test_distances_of_an_adapted_evaluation_follow_the_repaired_gradients():
    class Rounded(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net((x * 10).round() / 10)

    net, x, y = Rounded(digits_net()), digits().held_x[:12], digits().held_y[:12]
    report = inputopt.evaluate(net, x, y, "linf", 0.1, "quick", adapt=True)
    unadapted = inputopt.evaluate(net, x, y, "linf", 0.1, "quick", adapt=False)
    assert report.robust_accuracy < report.robust_accuracy_before_adapting
    by_repair, by_own = (nearest_distances.measured(each, inputopt.Frozen(net), x, 12) for each in (report, unadapted))
    assert float(by_own.distance.median()) >= 0.1  # gradients of the rounding are zero: only the evaluation's own
    assert float(by_repair.distance.median()) < 0.06  # half a step of the rounding moves a pixel
    with torch.no_grad():
        fooled = net(by_repair.x).argmax(1) != report.label
    assert torch.equal(fooled, torch.isfinite(by_repair.distance))
    assert "along repaired gradients" in by_repair.source


def test_a_network_without_a_derivative_has_a_page_without_a_curve(tmp_path, robust_digits):
    report, net, x = robust_digits

    class Rounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x).detach()

    settings = {**report.settings, "model": inputopt.Frozen(Rounded()).described()}
    page = written(replace(report, settings=settings), tmp_path / "r.html", Rounded(), x)
    assert "No curve was measured: " in page.all_text()
    assert page.of("img"), "examples of the evaluation"


def test_the_curve_of_a_network_that_returns_only_classes_is_by_hop_skip_jump(tmp_path):
    net, (x, y) = small_net(), known_inputs(count=9)

    def classes_only(z):
        return torch.nn.functional.one_hot(net(z).argmax(1), net(z).shape[1]).to(z.dtype)

    report = inputopt.evaluate(classes_only, x, y, "l2", 0.3, "quick")
    text = written(report, tmp_path / "r.html", classes_only, x).all_text()
    becomes = re.findall(r"(\S+) (\S+) → becomes", text)
    assert becomes
    assert all("%" not in before for each in becomes for before in each), "classes without a probability"
    assert "Minimal distances of all 9 inputs by HopSkipJump with 1,000 queries each" in text
    found = nearest_distances.measured(report, inputopt.Frozen(classes_only), x, 9)
    exact = inputopt.attacks.MinimalNorm("l2", queries=300)(net, x, y).distance
    assert bool((found.distance < 2 * exact + 0.05).all())
    assert bool((inputopt.Frozen(net)(found.x).argmax(1) != y).all())


def test_a_curve_that_was_measured_before_is_drawn(tmp_path):
    x, y = known_inputs(count=9)
    report = inputopt.evaluate(small_net(), x, y, "l2", 0.3, "quick")
    curve = inputopt.robustness_curve(small_net(), x, y, "l2", {"DDN": DDN(steps=10)})
    text = written(report, tmp_path / "r.html", small_net(), x, curve=curve).all_text()
    assert "Minimal distances of 9 inputs by DDN." in text
    share, (low, high) = curve.accuracy(0.3), curve.interval(0.3)
    assert f"0.3 {100 * share:.1f}{PERCENT} {100 * low:.1f}{PERCENT} to {100 * high:.1f}{PERCENT}" in text


def test_the_curve_is_drawn_where_the_distances_are():
    distance = torch.tensor([0.0, 0.1, 0.3, torch.inf])
    marks = [("robust", CurvePoint(0.2, 0.5, (0.25, 0.75))), ("certified", CurvePoint(0.2, 0.5, (0.25, 0.75)))]
    drawing = curve_drawing(distance, "linf", 0.2, marks, 564.0, 276.0)  # 500 x 200 inside the axes
    limit = 1.05 * max(float(distance[:3].double().quantile(0.98)), 0.26)
    path = re.search(r'<path d="M([^"Z]+)" class="curve">', drawing)[1]
    places = [tuple(map(float, each.split(","))) for each in path.split()]
    for x, share in ((0.05, 0.75), (0.2, 0.5)):
        at = 50 + 500 * x / limit
        (height,) = {y for (left, y), (right, _) in zip(places[::2], places[1::2], strict=True) if left <= at < right}
        assert height == pytest.approx(28 + 200 * (1 - share), abs=0.06)
    line = re.search(r'<line x1="([\d.]+)"[^>]*class="eps">', drawing)
    assert float(line[1]) == pytest.approx(50 + 500 * 0.2 / limit, abs=0.01)
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="5" class="mark (\w+)">', drawing)
    assert [(kind, float(y)) for _, y, kind in dots] == [("robust", 128), ("certified", 128)]
    left, right = (float(x) for x, _, _ in dots)
    assert right - left > 10, "equal figures do not hide each other"
    assert (left + right) / 2 == pytest.approx(float(line[1]), abs=0.02)
    assert "75.0 % (95 % interval: 30.1 % to 95.4 %) at 0," in drawing


def test_the_parts_of_the_bar_add_up_and_are_drawn_to_scale():
    x, robust = torch.zeros(10, 2), torch.arange(10) < 6
    report = Report(0.9, 0.6, robust, x, (), (), {}, wilson(0.6, 10), torch.arange(10) < 2, wilson(0.9, 10))
    parts = {part.kind: part.share for part in parts_of(report)}
    assert parts == pytest.approx({"certified": 0.2, "open": 0.4, "fooled": 0.3, "wrong": 0.1})
    assert sum(parts.values()) == pytest.approx(1)
    drawing = bracket_drawing(report, 1028.0)  # 1000 pixels for all inputs
    widths = dict(re.findall(r'width="([\d.]+)" height="40" class="part (\w+)"', drawing))
    assert {kind: float(width) for width, kind in widths.items()} == pytest.approx(
        {"certified": 200, "open": 400, "fooled": 300, "wrong": 100}
    )
    low, high = report.interval
    assert f'x1="{f"{14 + 1000 * low:.2f}".rstrip("0")}" x2="{f"{14 + 1000 * high:.2f}".rstrip("0")}"' in drawing
    none = Report(1.0, 1.0, robust, x, (), (), {})
    assert [part.kind for part in parts_of(none)] == ["open"]


def test_inputs_and_the_model_have_the_names_that_are_given(robust_digits, tmp_path):
    report, net, x = robust_digits
    names = [f"{label}/{number:05}" for number, label in enumerate(report.label.tolist())]
    report.save_html(tmp_path / "r.html", net, x, curve_examples=6, examples=2, title="Our <reader>", names=names)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1>Our &lt;reader&gt;</h1>" in text
    shown = re.findall(r"distance [\d.e-]+; input ([^<]+)</p>", text)
    assert len(shown) == 2
    assert set(shown) <= set(names)
    report.save_html(tmp_path / "r.html", net, x, curve_examples=6, examples=2)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert len(re.findall(r"; input \d+</p>", text)) == 2
    assert "Inputs are numbered from 0" in text
    with pytest.raises(ValueError, match="names must hold 20 names"):
        report.save_html(tmp_path / "r.html", net, x, names=["a"])


def test_the_bars_of_the_classes_have_a_heading(robust_digits, tmp_path):
    report, net, x = robust_digits
    complete(report).save_html(tmp_path / "r.html", net, x, curve_examples=0)
    (heading,) = re.findall(
        r'<th scope="col" class="bar">(.*?)</th>', (tmp_path / "r.html").read_text(encoding="utf-8")
    )
    assert re.sub(r"<[^>]+>", "", heading).split() == ["robust", "fooled", "certified"]


def test_the_verdict_says_whether_to_doubt_it(robust_digits):
    report, _, _ = robust_digits
    assert verdict_sentences(report)[-1] == "No indicator gives a reason to doubt this figure."
    fired, mended = complete(report).indicators
    for indicators, said in (
        ((fired,), "One indicator gives reason to doubt this figure (gradient masking):"),
        ((fired, mended), "One indicator gives reason to doubt this figure (gradient masking):"),
        ((fired, replace(mended, effect="unchanged")), "2 indicators give reason to doubt this figure"),
        ((mended,), "The evaluation acted on every indicator that fired"),
    ):
        assert said in verdict_sentences(replace(report, indicators=indicators))[-1]
    assert "each of their values may change by up to 0.2." in verdict_sentences(report)[0]


def test_the_verdict_says_what_was_applied_and_whether_it_helped(robust_digits):
    report, _, _ = robust_digits
    fired, mended = complete(report).indicators
    others = [
        Indicator(name, 1.0, "A meaning.", "", 0.0, "Done.", "lowered") for name in ("no_gradient", "hard_labels")
    ]
    adapted = replace(report, robust_accuracy_before_adapting=0.9, indicators=(fired, mended, *others))
    low, high = wilson(0.9, 20)
    ends = f"(95 % interval: {100 * low:.1f} % to {100 * high:.1f} %)"
    names = "shattered gradient, no gradient and hard labels"
    assert f"Remedies for {names} were applied and lowered it: before, it was 90.0 % {ends}." in verdict_sentences(
        adapted
    )
    same = report.robust_accuracy
    tried = replace(adapted, robust_accuracy_before_adapting=same, indicators=(replace(mended, effect="unchanged"),))
    *_, remedies, doubt = verdict_sentences(tried)
    assert remedies == "Remedies for shattered gradient were tried and did not lower it."
    assert doubt.startswith("One indicator gives reason to doubt this figure (shattered gradient)")
    harmless = Indicator("probabilities", 1.0, "A meaning.", "", 1.0, "Logarithms.", "not affected")
    *_, affected, doubt = verdict_sentences(replace(report, indicators=(harmless,)))
    assert affected == "What probabilities reports does not affect these attacks."
    assert doubt.startswith("The evaluation acted on every indicator")


@pytest.mark.parametrize(
    ("effect", "state", "kind"),
    [
        ("not applied", "open", "fired"),
        ("unchanged", "open: remedies had no effect", "fired"),
        ("lowered", "acted on: the figure is lower", "applied"),
        ("not affected", "these attacks are not affected", "applied"),
        ("measured", "a further figure was measured", "applied"),
    ],
)
def test_an_indicator_is_open_unless_something_came_of_its_remedy(effect, state, kind, robust_digits, tmp_path):
    report, _, _ = robust_digits
    applied = "" if effect == "not applied" else "No repair fools more inputs."
    each = Indicator("noisy_loss", 1.0, "A meaning.", "Average gradients.", 0.0, applied, effect)
    page = written(replace(report, indicators=(each,)), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f'<article class="indicator {kind}">' in text
    assert f"noisy_loss {state}" in page.all_text()
    assert ("Remedy: Average gradients." in page.all_text()) == (kind == "fired")
    assert ('class="verdict doubted"' in text) == (kind == "fired")
    assert str(each) == " ".join(filter(None, ("A meaning.", applied, "Average gradients." * (kind == "fired"))))


def test_the_figure_with_rejections_is_on_the_page_with_its_interval(robust_digits, tmp_path):
    report, _, _ = robust_digits
    withstood = replace(report, robust_if_rejected=torch.arange(20) < 15)
    low, high = wilson(0.75, 20)
    ends = f"{100 * low:.1f}{PERCENT} to {100 * high:.1f}{PERCENT}"
    text = written(withstood, tmp_path / "r.html").all_text()
    assert f"If a rejection counts as withstood, at most 75.0{PERCENT} 95{PERCENT}: {ends}" in text
    assert f"counts as withstood, it is at most 75.0{PERCENT} (95{PERCENT} interval: {ends})" in text
    assert "rejection counts" not in written(report, tmp_path / "s.html").all_text()


# --------------------------------------------------------------------------------------------------------- run it again
@pytest.mark.parametrize("eps", ["number", "each"])
def test_the_code_of_the_page_makes_the_same_report(eps, robust_digits):
    report, net, x = robust_digits
    given = torch.linspace(0.1, 0.3, 20)
    if eps == "each":
        report = inputopt.evaluate(net, x, report.label, eps=given, preset="quick", seed=3, levels=None)
    code = python_code(report)
    code = code.replace("x, y = ...", "x, y = given_x, given_y").replace("eps = ...", "eps = given_eps")
    space = {"given_x": x, "given_y": report.label, "given_eps": given}
    exec(code, space)
    again = space["report"]
    assert torch.equal(again.x, report.x)
    changing = {"date"}
    assert {k: v for k, v in again.settings.items() if k not in changing} == {
        k: v for k, v in report.settings.items() if k not in changing
    }


def test_the_code_names_bounds_masks_and_models_of_code():
    x, y = known_inputs(count=5)
    net = inputopt.Frozen(small_net(), bounds=(-1, 2), mean=0.5, std=0.25)
    report = inputopt.evaluate(net, x, y, "l2", 0.2, "quick", mask=torch.ones(12, dtype=torch.bool), eot_samples=2)
    code = python_code(report)
    assert "net = inputopt.Frozen(model, bounds=(-1.0, 2.0), mean=0.5, std=0.25)" in code
    assert "mask = ..." in code
    assert "    mask=mask,\n" in code
    assert "    eot_samples=2,\n" in code
    adapted = replace(report, settings={**report.settings, "adapt": True, "levels": None})
    assert "    adapt=True,\n" in python_code(adapted)
    assert "adapt" not in code
    named = replace(report, settings={**report.settings, "model": {**report.settings["model"], "name": "a.b:net"}})
    assert "model = ...  # a.b:net\n" in python_code(named)
    assert command_line(named) is None
    wide = inputopt.Frozen(small_net(), bounds=(-torch.inf, torch.inf))
    assert "bounds=(-float('inf'), float('inf'))" in python_code(inputopt.evaluate(wide, x, y, "l2", 0.2, "quick"))
    command = replace(report, settings={**report.settings, "command": ["evaluate", "it's", "--eps", "0.1"]})
    assert command_line(command) == "inputopt evaluate 'it'\"'\"'s' --eps 0.1"


# ------------------------------------------------------------------------------------------------------------- refusals
def test_other_inputs_models_and_paths_are_refused_before_any_work(robust_digits, tmp_path, monkeypatch):
    report, net, x = robust_digits
    monkeypatch.setattr(nearest_distances, "MinimalNorm", None)
    path = tmp_path / "r.html"
    for given, settings, said in (
        ((net,), {}, "both model and x"),
        ((net, x[:5]), {}, "x must be the inputs that were evaluated"),
        ((net, x.flip(0)), {}, "x must be the inputs that were evaluated"),
        ((inputopt.load("digits-mlp"), x), {}, "model has other weights"),
        ((net, x), {"curve_examples": -1}, "curve_examples must be"),
    ):
        with pytest.raises(ValueError, match=said):
            report.save_html(path, *given, **settings)
    small, labels = known_inputs()
    curve = inputopt.robustness_curve(small_net(), small, labels, "l2", {"DDN": DDN(steps=2)})
    with pytest.raises(ValueError, match="The curve is in l2, but the report in linf"):
        report.save_html(path, curve=curve)
    with pytest.raises(FileError, match="Cannot write"):
        report.save_html(tmp_path)
    assert list(tmp_path.iterdir()) == []


class Noisy(nn.Module):
    """A network whose logits are random."""

    def __init__(self):
        super().__init__()
        self.net = small_net()

    def forward(self, x):
        return self.net(x) + 0.3 * torch.randn(len(x), 6, dtype=x.dtype)


UNUSUAL = {
    "l0": ({"norm": "l0", "eps": 1.0}, small_net),
    "one eps each": ({"eps": torch.linspace(0, 0.2, 8)}, small_net),
    "eps for each element": ({"eps": torch.rand(8, 12, generator=torch.Generator().manual_seed(0)) / 5}, small_net),
    "a mask": ({"mask": torch.arange(12) < 6}, small_net),
    "a random network": ({"eps": 0.05}, Noisy),
    "probabilities": ({}, lambda: nn.Sequential(small_net(), nn.Softmax(1))),
    "no bounds": ({"norm": "l2"}, lambda: inputopt.Frozen(small_net(), bounds=(-torch.inf, torch.inf))),
    "nothing fooled": ({"eps": 1e-7}, small_net),
    "other labels": ({"shift": 1}, small_net),
}
"""Arguments of an evaluation, and what makes the network."""


@pytest.mark.filterwarnings("ignore:The model seems to return probabilities")
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_evaluations_have_a_page(name, tmp_path):
    settings, make = UNUSUAL[name]
    x, y = known_inputs(count=8)
    shifted = (y + settings.get("shift", 0)) % 6
    settings = {"eps": 0.2, "preset": "quick"} | {key: value for key, value in settings.items() if key != "shift"}
    report = inputopt.evaluate(make(), x, shifted, **settings)
    most = 1 if name == "a random network" else 4  # each is evaluated on many draws
    page = written(report, tmp_path / "r.html", make(), x, curve_examples=most, examples=2)
    text = page.all_text()
    assert f"{100 * report.robust_accuracy:.1f}{PERCENT}" in text
    assert (f"Minimal distances of {most} of 8" in text) == (name != "a mask")
    assert not re.search(r"\b(nan|None(?! of the)|tensor)\b", text)
    assert "Accuracy per class" in text


class Counter(nn.Module):
    """A network that counts its forwards in a buffer, which changes no prediction."""

    def __init__(self):
        super().__init__()
        self.net = small_net()
        self.register_buffer("forwards", torch.zeros(1))

    def forward(self, x):
        self.forwards += 1
        return self.net(x)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_network_whose_buffers_have_moved_since_is_still_that_of_the_report(frozen, tmp_path):
    x, y = known_inputs(count=8)
    net = inputopt.Frozen(Counter()) if frozen else Counter()
    report = inputopt.evaluate(net, x, y, "l2", 0.3, "quick")
    page = written(report, tmp_path / "r.html", net, x, curve_examples=2)
    assert "Minimal distances of 2 of 8 inputs" in page.all_text()


# ------------------------------------------------------------------------------------------------------ in the browser
@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory, robust_digits):
    """A page with everything and hostile names, and one of a table, by name."""
    folder = tmp_path_factory.mktemp("pages")
    report, net, x = robust_digits
    long_name = "a-very-long-name-without-a-space" * 4
    complete(report, HOSTILE + long_name).save_html(
        folder / "images.html", net, x, class_names=[long_name, HOSTILE], curve_examples=8
    )
    table, labels = known_inputs(count=30)
    found = inputopt.evaluate(small_net(), table, labels, "l2", 0.3, "quick")
    found.save_html(folder / "table.html", small_net(), table, curve_examples=8)
    return folder


@pytest.mark.parametrize("name", ["images", "table"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_it_without_errors_requests_or_scrolling_sideways(chromium, pages, name, width):
    wrong, path = [], pages / f"{name}.html"
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: wrong.append(request.url[:60]))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for scheme, colour in (("light", "rgb(251, 251, 250)"), ("dark", "rgb(18, 20, 24)")):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
    shown = "[...document.querySelectorAll('svg[role=img]')].filter(each => each.checkVisibility()).length"
    assert page.evaluate(shown) == 2, "one of the two sizes of each drawing"
    assert ("alert(1)" in page.evaluate("document.body.innerText")) == (name == "images")
    context.close()
    assert {url for url in wrong if not url.startswith("data:")} == {path.as_uri()[:60]}


OUTSIDE = """[...document.querySelectorAll('h1, h2, p, figure, dl, table, .card, .twin, svg')].filter(each =>
    !each.closest('.scroll, pre') && each.getClientRects().length
    && (each.getBoundingClientRect().right > innerWidth + 1 || each.getBoundingClientRect().left < -1))
    .map(each => each.outerHTML.slice(0, 80))"""
"""What reaches beyond the window, apart from what may be scrolled."""

CONTRAST = """() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = text => channels(text).slice(0, 3).map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = each => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('p, th, td, dt, dd, li, h1, h2, h3, code, span, figcaption, summary, b')]
    .filter(each => each.checkVisibility() && [...each.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(each => {
      const [a, b] = [light(getComputedStyle(each).color), light(behind(each))].sort((p, q) => q - p);
      return [(a + .05) / (b + .05), each.className + ' ' + each.textContent.slice(0, 40)];
    }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(chromium, pages, scheme):
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((pages / "images.html").as_uri())
    assert page.evaluate(CONTRAST) == []
    context.close()


def test_it_prints_with_all_that_is_folded(chromium, pages):
    context = chromium.new_context(color_scheme="dark", viewport={"width": 700, "height": 900})
    page = context.new_page()
    page.goto((pages / "images.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    card = page.locator("pre", has_text="model-index:")
    assert card.evaluate("each => each.checkVisibility() && each.getBoundingClientRect().height > 200")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()


def test_the_words_of_an_image_say_what_the_network_sees(robust_digits, tmp_path):
    report, net, x = robust_digits
    page = written(report, tmp_path / "r.html", net, x, class_names=list("abcdefghij"), curve_examples=20, examples=1)
    before, after, change = (unescape(each["alt"]) for each in page.of("img"))
    found = re.fullmatch(r"Input (\d+), labelled ([a-j]), predicted ([a-j])", before)
    assert found[2] == found[3] == "abcdefghij"[int(report.label[int(found[1])])]
    assert re.fullmatch(r"Its nearest adversarial example found, predicted [a-j]", after)
    assert re.fullmatch(r"Their difference, magnified [\d.]+ times, on grey", change)
