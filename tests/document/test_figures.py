from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from verb_parsers import verb_parser

from inputopt.document import SOURCES
from inputopt.document.figures import Figure, figures
from inputopt.document.networks import EXAMPLES

# Every number that the document prints of its networks, in the order of its own tables. Where it contradicts itself,
# both what it prints and what its formulas give.
PRINTED = {
    "warm-up": "0.6295",
    "1": "0.238032 0.689974 0.147592 0.147592  0.007176 -2.564884 -2.364882",
    "2": "0.154650  0.2631 0.4853 0.1515  0.007141 -9.879733 4.837278",
    "3a": "0.2167  0.2 0.818 0.6 0.3269  0.518 0.0269  0.1943  0.007142",
    "3b": "0.218576  0.213090  0.007223  10.5759 10.5759 9.9296 9.9296  -5.0569 -14.9824",
    "4": """0.298371  0.008771 0.009954 0.138499 -0.038098  0.003804 0.004741
            0.1498 0.1996 0.2498 0.2995 0.3589 0.4087 0.5113 0.5614  0.3456 0.345 0.5308 0.6191  0.2839  0.007157""",
    "4 held": "0.298371 0.291028 0.0000351 0.015912 0.984066",
}
DERIVED = {("4", "0.2839"): "0.280472", ("4", "0.007157"): "0.005549", ("4", "0.6191"): "0.6190"}
DERIVED |= {("4 held", "0.015912"): "0.015914", ("4 held", "0.984066"): "0.984064"}


@pytest.mark.parametrize("example", PRINTED)
def test_every_printed_figure_is_there_once(example):
    found = Counter(row.contradicted or row.printed for row in figures() if row.example == example)
    assert found == Counter(PRINTED[example].split())


def test_there_are_no_other_figures():
    assert {row.example for row in figures()} == set(PRINTED)
    assert len(figures()) == sum(len(numbers.split()) for numbers in PRINTED.values()) == 59


def test_no_figure_is_named_twice():
    assert max(Counter((row.example, row.figure) for row in figures()).values()) == 1


def test_where_the_document_contradicts_itself_both_figures_and_a_reason_are_given():
    contradicted = {(row.example, row.contradicted): row.printed for row in figures() if row.contradicted}
    assert contradicted == DERIVED
    assert all(bool(row.note) == bool(row.contradicted) for row in figures())


def test_0_6191_is_0_619049_rounded_twice():
    """Once to five decimals, and that to four."""
    derived = Decimal("0.619049")
    once, twice = Decimal("0.00001"), Decimal("0.0001")
    assert str(derived.quantize(twice, ROUND_HALF_UP)) == "0.6190"
    assert str(derived.quantize(once, ROUND_HALF_UP).quantize(twice, ROUND_HALF_UP)) == "0.6191"


@pytest.mark.parametrize(
    ("printed", "derived", "agrees"),
    [
        ("0.2380", 0.23797, True),
        ("0.2380", 0.23804, True),
        ("0.2380", 0.23806, False),
        ("0.238", 0.2386, False),
        ("0.2", 0.2, True),
        ("0.345", 0.34502, True),
        ("-2.564884", -2.5648841, True),
        ("-2.564884", 2.564884, False),
        ("-0.038098", -0.03809849, True),
        ("-0.038098", -0.03809851, False),
        ("0.0000351", 3.5085e-05, True),
        ("0.0000351", 3.52e-05, False),
        ("10.5759", 10.57594, True),
        ("0.6190", float("nan"), False),
        ("0.6190", float("inf"), False),
    ],
)
def test_figures_agree_when_they_are_equal_to_the_printed_digits(printed, derived, agrees):
    assert Figure("x", "y", printed).agrees(derived) == agrees


def test_a_derived_number_is_shown_with_the_printed_number_of_decimals():
    assert Figure("x", "y", "0.6190").as_printed(0.619049) == "0.6190"
    assert Figure("x", "y", "-14.9824").as_printed(-14.98235) == "-14.9824"
    assert Figure("x", "y", "7").as_printed(6.8) == "7"


def test_the_networks_start_where_the_document_says():
    """Sizes, examples and trainings of its first table, and the weights of each neuron."""
    table = {
        name: (example.sizes, len(example.inputs), example.trainings, example.hold_biases)
        for name, example in EXAMPLES.items()
    }
    assert table == {
        "1": ((1, 1), 1, 10_000, False),
        "2": ((1, 1), 2, 100_000, False),
        "3a": ((2, 2), 1, 20_000, False),
        "3b": ((2, 2), 4, 520_000, False),
        "4": ((2, 2, 2), 1, 5_000, False),
        "4 held": ((2, 2, 2), 1, 10_000, True),
    }
    numbers = {
        name: [round(v.item(), 6) for p in e.network().parameters() for v in p.flatten()]
        for name, e in EXAMPLES.items()
    }
    assert numbers["1"] == numbers["2"] == [0.3, 0.5]
    assert numbers["3a"] == numbers["3b"] == [0.2, 0.8, 0.6, 0.4, 0.5, 0.1]
    first, second = [0.15, 0.2, 0.25, 0.3, 0.35, 0.35], [0.4, 0.45, 0.5, 0.55, 0.6, 0.6]
    assert numbers["4"] == numbers["4 held"] == first + second
    for name, example in EXAMPLES.items():
        moving = [parameter.requires_grad for parameter in example.network().parameters()]
        assert moving == [name != "4 held" or index % 2 == 0 for index in range(len(moving))]


def test_the_document_is_cited_by_title_and_address_wherever_it_is_spoken_of():
    root = Path(__file__).parents[2]
    shown = verb_parser("reproduce").format_help()
    for title, address in SOURCES.items():
        name = title.split(", by ")[0]
        assert title in shown
        assert address in shown
        for page in ("CITATION.cff", "docs/story.md"):
            text = (root / page).read_text(encoding="utf-8")
            assert name in text, page
            assert address in text, page
