"""The playground in a real browser: every tab used with clicks, keys and mouse, at two widths."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import lite0, photo
from PIL import Image
from playwright.sync_api import expect

import inputopt
from inputopt.nets.class_names import class_name
from inputopt.pictures.picture import read_photo, to_image
from inputopt.zoo.digits import load_digits

CATS = range(281, 286)


def says(page, where, text):
    expect(page.locator(where)).to_contain_text(text if isinstance(text, re.Pattern) else re.compile(text))


def test_learn_trains_step_by_step_and_in_a_run(open_page):
    page = open_page()
    says(page, "#learn-status", "After 0 updates: error 0.772491")
    page.click("#learn-one")
    says(page, "#learn-status", "After 1 update: error")
    says(page, "#learn-figures", r"second weight 1\[0,0\]\s*0.3589\s*0.3589\s*agrees")
    page.get_by_label("Steps to run").fill("4999")
    page.click("#learn-run")
    says(page, "#learn-status", r"After 5,000 updates: error 0\.0055")
    says(page, "#learn-figures", r"last error[^\n]*\s*0.005549\s*0.005549\s*agrees")
    assert page.locator("#learn-figures .io-no").count() == 0
    assert page.locator("#learn-charts polyline").count() == 4
    page.click("#learn-reset")
    says(page, "#learn-status", "After 0 updates: error 0.772491")


def test_learn_own_network_by_keyboard_and_sliders(open_page):
    page = open_page()
    page.get_by_label("Network and training examples").click()
    page.get_by_role("option", name="Own network: XOR").click()
    expect(page.get_by_label("Hidden layers")).to_have_value("3")
    says(page, "#learn-figures", "prints no figures")
    page.get_by_label("Hidden layers").fill("3, 2")
    page.get_by_label("Hidden layers").press("Tab")
    expect(page.get_by_label("Hidden layers")).to_have_value("3, 2")
    page.locator("#learn-reset").press("Enter")  # it focuses the button
    expect(page.locator("#learn-network svg")).to_have_attribute("aria-label", re.compile("Network of 2, 3, 2, 1"))
    before = page.locator("#learn-network").inner_text()
    slider = page.locator("#learn-input-0 input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    says(page, "#learn-network", "0.010")
    assert page.locator("#learn-network").inner_text() != before
    page.click("#learn-move")
    says(page, "#learn-status", "The input moved: cost .* before, .* after")


def test_learn_stops_and_refuses_in_a_sentence(open_page):
    page = open_page()
    page.get_by_label("Steps to run").fill("1000000")
    page.click("#learn-run")
    says(page, "#learn-status", "Update [1-9]")
    page.click("#learn-stop")
    says(page, "#learn-status", r"After [\d,]+ updates: .* Training ended early: interrupted\.")
    assert "1,000,000" not in page.locator("#learn-status").inner_text()
    page.get_by_label("Hidden layers").fill("two")
    page.click("#learn-reset")
    says(page, "#learn-status", "Hidden layers must be whole numbers separated by commas")
    expect(page.locator("#learn-status [role=alert]")).to_be_visible()


@pytest.mark.parametrize("hidden", ["3", "2, 2"])
def test_no_number_on_an_edge_covers_another_text(open_page, hidden):
    page = open_page()
    page.get_by_label("Network and training examples").click()
    page.get_by_role("option", name="Own network: XOR").click()
    expect(page.get_by_label("Hidden layers")).to_have_value("3")  # the choice fills it, and must not do so afterwards
    page.get_by_label("Hidden layers").fill(hidden)
    page.click("#learn-reset")
    expect(page.locator("#learn-network svg")).to_have_attribute("aria-label", re.compile(f"Network of 2, {hidden}, 1"))
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1280, "light")])
def test_the_drawn_network_is_legible_at_every_width(open_page, width, scheme):
    page = open_page(width=width, scheme=scheme)
    heights = page.evaluate(HEIGHTS)
    assert len(heights) > 20
    assert min(heights) >= 11, "pixels on the screen"
    inside, whole = page.evaluate(WIDTHS)
    assert (whole > inside) == (width == 400)
    assert page.locator(".io-sideways").is_visible() == (width == 400)
    assert page.evaluate(COVERED) == []


HEIGHTS = "[...document.querySelectorAll('.io-network text')].map(e => e.getBoundingClientRect().height)"
WIDTHS = "(e => [e.clientWidth, e.scrollWidth])(document.querySelector('#learn-network .io-scroll'))"

COVERED = """() => {
  const boxed = what => [...document.querySelectorAll(what)].map(e => e.getBoundingClientRect())
  const labels = boxed('.io-network rect.io-label'), boxes = [...labels, ...boxed('.io-network > text')]
  const cover = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                       && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1
  return labels.flatMap((a, i) => boxes.filter((b, j) => j !== i && cover(a, b)).map(b => [a.x, a.y, b.x, b.y]))
}"""
"""Pairs of an edge's label and another label or caption that cover each other by more than a pixel."""


@pytest.mark.parametrize(
    ("tab", "choices"),
    [
        ("Learn", {"Network and training examples": "Own network: XOR", "Training example shown": "1, 0 → 1"}),
        ("Fool", {"Network to fool": "digits-mlp", "Norm": "l2: Euclidean length of the change"}),
        ("Dream", {"Layer": "blocks.4"}),
    ],
)
def test_a_choice_is_sent_once(open_page, tab, choices):
    """A second answer would undo what was typed since the first; Gradio sends a dropdown's input event twice."""
    page, sent = open_page(), []
    page.get_by_role("tab", name=tab).click()
    page.on("request", lambda request: sent.append(request) if "/queue/join" in request.url else None)
    for label, option in choices.items():
        sent.clear()
        page.get_by_role("combobox", name=label, exact=True).click()
        with page.expect_response(re.compile("queue/join")):
            page.get_by_role("option", name=option, exact=True).click()
        page.wait_for_timeout(500)
        assert len(sent) == 1, label


# ------------------------------------------------------------------------------------------------------------ Fool
def fool(page):
    page.get_by_role("tab", name="Fool").click()
    says(page, "#fool-status", "The network predicts")


def start_slowly(page):
    """Start a search of 2,000 steps that are all shown."""
    page.get_by_text("More settings").click()
    page.get_by_label("Steps", exact=True).fill("2000")
    page.get_by_label("Slow motion").check()
    page.click("#fool-start")
    says(page, "#fool-status", r"Step [1-9]\d*; ")


def draw(page, *points):
    """Draw a line through points, in shares of the canvas."""
    canvas = page.locator("#fool-pad canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def prediction(data, network="digits-cnn"):
    with torch.no_grad():
        return int(inputopt.load(network)(read_photo(Image.open(io.BytesIO(data)), 1)[None]).argmax())


def downloaded(page, name):
    with page.expect_download() as waiting:
        page.locator("#fool-downloads").get_by_text(name).click()
    return Path(waiting.value.path()).read_bytes()


def test_fool_a_drawn_digit_and_download_it(open_page):
    page = open_page()
    fool(page)
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    says(page, "#fool-status", r"The network predicts 7 \(")
    page.click("#fool-start")
    says(page, "#fool-status", r"Fooled: 7 .* became [^7] .* still fools the network")
    assert page.locator("#fool-views img").count() == 3
    expect(page.locator("#fool-views img").nth(2)).to_have_attribute("alt", re.compile("Difference, magnified"))
    before, after = downloaded(page, "Download the input"), downloaded(page, "Download the result")
    assert prediction(before) == 7
    assert prediction(after) != 7
    says(page, "#fool-code", r"inputopt\.attacks\.PGD\(")


def test_start_takes_a_drawing_that_the_page_does_not_show_yet(open_page):
    page = open_page()
    fool(page)
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    page.click("#fool-start")
    says(page, "#fool-status", r"Fooled: 7 .* became [^7] ")
    assert prediction(downloaded(page, "Download the input")) == 7


def test_fool_draws_by_keyboard(open_page):
    page = open_page()
    fool(page)
    page.locator("#fool-pad canvas").focus()
    for key in ["ArrowUp"] * 10 + [" "] + ["ArrowDown"] * 20 + [" "]:
        page.keyboard.press(key)
    says(page, "#fool-status", r"The network predicts 1 \(")


def test_fool_uploads_a_file_and_refuses_others(open_page, tmp_path):
    page = open_page()
    fool(page)
    digit = load_digits().held_x[400]
    to_image(digit).save(tmp_path / "four.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "large.png").write_bytes(bytes(11 * 2**20))
    upload = page.locator("#fool-upload input[type=file], input#fool-upload, input[type=file]").first
    upload.set_input_files(tmp_path / "four.png")
    says(page, "#fool-status", r"The network predicts 4 \(")
    upload.set_input_files(tmp_path / "broken.png")
    says(page, "#fool-status", "cannot be read as an image; choose a PNG")
    page.get_by_label("Target").click()
    page.get_by_role("option", name="9", exact=True).click()
    page.get_by_label("Nearest misclassified image").check()
    page.click("#fool-start")
    says(page, "#fool-status", r"Fooled: 4 .* became 9 .* still fools the network")
    assert prediction(downloaded(page, "Download the result")) == 9


def test_fool_an_uploaded_photo_live_and_download_it(open_page, tmp_path):
    page = open_page()
    fool(page)
    page.get_by_role("combobox", name="Network").click()
    page.get_by_role("option", name="efficientnet-lite0", exact=True).click()
    expect(page.locator("#fool-status")).to_contain_text(re.compile("predicts [a-z ]{4,}"), timeout=20_000)
    with Image.open(photo("chelsea.png")) as cat:
        cat.convert("RGB").resize((256, 170)).save(tmp_path / "cat.jpg")
    page.locator("#fool-upload").locator("xpath=..").locator("input[type=file]").set_input_files(tmp_path / "cat.jpg")
    says(page, "#fool-status", rf"The network predicts ({'|'.join(map(class_name, CATS))}) \(")
    page.get_by_text("More settings").click()
    page.get_by_label("Steps", exact=True).fill("10")
    page.get_by_label("Slow motion").check()
    page.click("#fool-start")
    says(page, "#fool-status", r"Step [1-9]\d*; ")
    assert page.locator("#fool-views img").count() == 3, "the adversarial image is live"
    done = re.compile(r"Fooled: .* still fools the network")
    expect(page.locator("#fool-status")).to_contain_text(done, timeout=60_000)
    before, after = downloaded(page, "Download the input"), downloaded(page, "Download the result")
    with Image.open(io.BytesIO(after)) as image:
        assert (image.size, image.mode) == ((224, 224), "RGB")
    net = lite0()
    with torch.no_grad():
        was, now = (int(net(read_photo(Image.open(io.BytesIO(each)))[None]).argmax()) for each in (before, after))
    assert was in CATS
    assert now != was
    says(page, "#fool-code", r'load\("efficientnet-lite0"\)')


def test_fool_from_static_and_ascend(open_page):
    page = open_page()
    fool(page)
    page.get_by_label("From static, towards a class").check()
    page.click("#fool-start")
    says(page, "#fool-status", "Choose a target class")
    page.get_by_label("Target").click()
    page.get_by_role("option", name="3", exact=True).click()
    page.click("#fool-start")
    says(page, "#fool-status", r"Fooled: .* became 3 \(")
    assert prediction(downloaded(page, "Download the result")) == 3
    page.get_by_label("Ascend until unrecognised").check()
    page.click("#fool-start")
    says(page, "#fool-status", r"Fooled: .* l2 distance .* still fools the network")


def test_fool_stops_while_another_user_goes_on(open_page):
    first, second = open_page(), open_page()
    for page in (first, second):
        fool(page)
        start_slowly(page)
    for page in (first, second):
        says(page, "#fool-status", r"Step [2-9]\d*; ")
    first.click("#fool-stop")
    says(first, "#fool-status", r"Stopped")
    assert first.locator("#fool-downloads a").count() == 2
    steps = int(re.search(r"Step ([\d,]+);", second.locator("#fool-status").inner_text())[1])
    expect(second.locator("#fool-status")).to_contain_text(re.compile(rf"Step (?!{steps};)\d+;"))
    second.click("#fool-stop")
    says(second, "#fool-status", r"Stopped")


def test_fool_says_which_image_is_the_input(open_page, tmp_path):
    page = open_page()
    fool(page)
    caption, hint = page.locator("#fool-views figcaption").first, page.locator("#fool-pad .io-hint")
    expect(caption).to_contain_text("Input, an example digit: ")
    expect(hint).to_be_visible()
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    expect(caption).to_contain_text("Input, your drawing: 7")
    expect(hint).to_be_hidden()
    page.click("#fool-start")
    says(page, "#fool-status", "Fooled: 7")
    assert page.locator("#fool-views thead th").all_inner_texts() == ["class", "Input", "Adversarial image"]
    page.click("#fool-example")
    expect(caption).to_contain_text("Input, an example digit: ")
    expect(hint).to_be_visible()
    assert page.locator("#fool-views thead th").all_inner_texts() == ["class", "Input"]
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
    expect(caption).to_contain_text("Input, your drawing: 7")
    to_image(load_digits().held_x[400]).save(tmp_path / "four.png")
    page.locator("#fool-upload").locator("xpath=..").locator("input[type=file]").set_input_files(tmp_path / "four.png")
    expect(caption).to_contain_text("Input, your image: 4")
    expect(hint).to_be_visible()


def test_fool_another_image_ends_the_search_and_stays(open_page):
    page = open_page()
    fool(page)
    start_slowly(page)
    page.click("#fool-example")
    says(page, "#fool-status", "The network predicts")
    expect(page.locator("#fool-stop")).to_be_disabled()
    page.wait_for_timeout(500)  # a frame, or the end of the search, would come meanwhile
    says(page, "#fool-status", "The network predicts")
    assert page.locator("#fool-views img").count() == 1


def test_fool_shows_the_settings_that_the_search_has(open_page):
    page = open_page()
    fool(page)
    page.get_by_text("More settings").click()
    settings = {
        "Nearest misclassified image": ["Norm", "Target", "Forward and backward passes"],
        "From static, towards a class": ["Target", "Steps"],
        "Ascend until unrecognised": ["Steps"],
        "Within a distance (PGD)": ["Norm", "Target", "Steps", "Go on after the first success", "Largest distance"],
    }
    every = sorted({name for has in settings.values() for name in has})
    for mode, has in settings.items():
        page.get_by_label(mode).check()
        for name in every:
            labels = page.get_by_text(re.compile(f"^{name}")).filter(visible=True)
            expect(labels).to_have_count(1 if name in has else 0)


# ----------------------------------------------------------------------------------------------------------- Dream
def test_dream_of_a_channel_of_an_uploaded_photo(open_page, tmp_path):
    page = open_page()
    page.get_by_role("tab", name="Dream").click()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "p.jpg")
    page.locator("#dream-upload").locator("xpath=..").locator("input[type=file]").set_input_files(tmp_path / "p.jpg")
    says(page, "#dream-status", "Choose a layer or a channel")
    page.get_by_role("combobox", name="Layer").click()
    page.get_by_role("option", name="blocks.2", exact=True).click()
    page.click("#dream-more")
    page.wait_for_selector("#dream-channels button[data-channel='7'] img", timeout=60_000)
    button = page.locator("#dream-channels button[data-channel='5']")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.get_by_label("number input for Octaves").fill("2")
    page.get_by_label("number input for Steps per octave").fill("3")
    page.click("#dream-start")
    says(page, "#dream-status", r"The dream is finished, after 8 evaluations in")
    expect(page.locator("#dream-views img").first).to_have_attribute("alt", "Dream of channel 5 of blocks.2")
    with page.expect_download() as waiting:
        page.locator("#dream-downloads").get_by_text("Download the dream").click()
    with Image.open(waiting.value.path()) as picture:
        assert picture.size == (120, 90)
        assert json.loads(picture.info["inputopt"])["settings"]["octaves"] == 2
    says(page, "#dream-code", "channels=5")


def test_dream_stops_and_keeps_what_it_has(open_page):
    page = open_page()
    page.get_by_role("tab", name="Dream").click()
    page.get_by_label("number input for Steps per octave").fill("100")
    page.click("#dream-start")
    says(page, "#dream-status", r"Evaluation [1-9]\d* of 303; \d+ frames a second")
    page.click("#dream-stop")
    says(page, "#dream-status", "Stopped: this is the dream so far")
    assert page.locator("#dream-views img").count() == 2
    assert page.locator("#dream-downloads a").count() == 2
    expect(page.locator("#dream-code")).to_be_hidden()


def test_dream_another_photo_ends_the_dream_and_stays(open_page):
    page = open_page()
    page.get_by_role("tab", name="Dream").click()
    expect(page.locator("#dream-views figcaption")).to_have_text("Input, the example photo")
    page.get_by_label("number input for Steps per octave").fill("100")
    page.click("#dream-start")
    says(page, "#dream-status", r"Evaluation [1-9]\d* of 303")
    page.click("#dream-example")
    says(page, "#dream-status", "Choose a layer or a channel")
    expect(page.locator("#dream-stop")).to_be_disabled()
    page.wait_for_timeout(1000)  # a frame, or the end of the dream, would come meanwhile
    says(page, "#dream-status", "Choose a layer or a channel")
    expect(page.locator("#dream-views figcaption")).to_have_text("Input, the example photo")


# ------------------------------------------------------------------------------------------------------ every tab
UNNAMED = """() => [...document.querySelectorAll('button, input, select, textarea, img, canvas, [role=img], a')]
  .filter(e => e.offsetParent !== null && !['hidden', 'file'].includes(e.type))
  .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('alt') || e.title || e.innerText
                 || e.getAttribute('aria-labelledby') || [...(e.labels || [])].some(label => label.innerText)))
  .map(e => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_tab_fits_and_every_control_has_a_name(open_page, width, scheme):
    page = open_page(width, 900, scheme)
    for tab in ("Learn", "Fool", "Dream"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(f"#{tab.lower()}-status:visible")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(UNNAMED) == []


def test_every_control_of_a_tab_is_reached_by_the_tab_key(open_page):
    page = open_page()
    page.get_by_role("tab", name="Fool").click()
    page.wait_for_selector("#fool-status:visible")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(document.activeElement.closest('[id^=fool-]') || document.activeElement).id"))
    assert {"fool-pad", "fool-example", "fool-upload", "fool-eps", "fool-start"} <= reached


def test_stop_can_be_pressed_only_while_something_runs(open_page):
    page = open_page()
    stop = page.locator("#learn-stop")
    expect(stop).to_be_disabled()
    page.get_by_label("Steps to run").fill("1000000")
    page.click("#learn-run")
    expect(stop).to_be_enabled()
    stop.focus()
    page.keyboard.press("Enter")
    expect(stop).to_be_disabled()
    page.get_by_label("Steps to run").fill("10")
    page.click("#learn-run")
    says(page, "#learn-status", "After")
    expect(stop).to_be_disabled()

    fool(page)
    stop = page.locator("#fool-stop")
    expect(stop).to_be_disabled()
    page.get_by_label("From static, towards a class").check()
    page.click("#fool-start")
    says(page, "#fool-status", "Choose a target class")  # an error
    expect(stop).to_be_disabled()
    page.get_by_label("Within a distance").check()
    start_slowly(page)
    page.locator("#fool-start").focus()
    page.keyboard.press("Tab")
    expect(stop).to_be_focused()
    page.keyboard.press("Enter")
    says(page, "#fool-status", "Stopped")
    expect(stop).to_be_disabled()

    page.get_by_role("tab", name="Dream").click()
    stop = page.locator("#dream-stop")
    expect(stop).to_be_disabled()
    page.click("#dream-more")
    expect(stop).to_be_enabled()
    page.get_by_label("number input for Steps per octave").fill("100")
    page.click("#dream-start")
    says(page, "#dream-status", r"Evaluation [2-9]\d* of")
    expect(stop).to_be_enabled()  # the dream replaced the channels, whose end leaves it alone
    stop.click()
    says(page, "#dream-status", "Stopped: this is the dream so far")
    expect(stop).to_be_disabled()


CLIPPED = """() => [...document.querySelectorAll('input[role=combobox], button, label, figcaption, th, td')]
  .filter(e => !e.matches('.label-wrap'))  // Gradio's accordion turns its mark
  .filter(e => e.offsetParent !== null && e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
  .map(e => [e.outerHTML.slice(0, 90), e.clientWidth, e.scrollWidth])"""


@pytest.mark.parametrize("tab", ["Learn", "Fool", "Dream"])
def test_no_text_of_a_control_is_clipped_on_a_phone(open_page, tab):
    page = open_page(400)
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector(f"#{tab.lower()}-status:visible")
    assert page.evaluate(CLIPPED) == []


FILLS = """() => {
  const near = (a, b) => Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) + Math.abs(a[2] - b[2])
  const rgb = text => text.match(/\\d+/g).slice(0, 3).map(Number)
  const page = rgb(getComputedStyle(document.body).backgroundColor)
  const label = text => [...document.querySelectorAll('#fool-views, label')].find(e => e.innerText.includes(text))
  const fill = text => rgb(getComputedStyle(label(text)).backgroundColor)
  return near(fill('Within a distance'), fill('Nearest misclassified'))
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_selected_search_is_filled(open_page, scheme):
    page = open_page(scheme=scheme)
    fool(page)
    assert page.evaluate(FILLS) > 40, "of three channels in [0, 255]"
