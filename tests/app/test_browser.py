"""The playground in a real browser: every tab used with clicks, keys and mouse, at two widths."""

import re

import pytest
from playwright.sync_api import expect


def says(page, where, text):
    expect(page.locator(where)).to_contain_text(text if isinstance(text, re.Pattern) else re.compile(text))


def test_learn_trains_step_by_step_and_in_a_run(open_page):
    page = open_page()
    says(page, "#learn-status", "After 0 updates: error 0.772491")
    page.click("#learn-one")
    says(page, "#learn-status", "After 1 updates: error")
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
    page.locator("#learn-reset").focus()
    page.keyboard.press("Enter")
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(open_page, scheme):
    page = open_page(400, 800, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
