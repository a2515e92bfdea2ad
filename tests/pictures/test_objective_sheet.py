"""Sheets of feature visualisations, captioned by what each picture reaches; and the shape of all sheets."""

import numpy as np
import pytest
import torch
from contracts import digits

import inputopt
from inputopt.pictures.objective_sheet import objective_sheet
from inputopt.pictures.picture import Picture
from inputopt.pictures.picture_search import scores
from inputopt.pictures.sheet import (
    FrameRecorder,
    add_title,
    contact_sheet,
    grid_shape,
    named_sheet,
    prediction_text,
    sheet,
)


def captions(figure):
    return [axes.get_title() for axes in figure.axes if axes.images]


def test_channels_are_captioned_by_the_activation_that_they_reach():
    net = inputopt.Frozen(inputopt.load("digits-cnn"))
    objective = inputopt.Channel("conv1", [4, 2, 0])
    pictures = [Picture(x) for x in digits().held_x[:3]]
    activation = net.features(digits().held_x[:3], ["conv1"])["conv1"].mean((2, 3))
    wanted = [
        f"conv1 channel {channel}\nscore {float(activation[row, channel]):.3g}" for row, channel in enumerate((4, 2, 0))
    ]
    assert captions(objective_sheet(pictures, net, objective)) == wanted
    assert captions(objective_sheet([picture.x for picture in pictures], net, objective)) == wanted
    shrunk = objective - 0.1 * inputopt.total_variation()
    assert [text.splitlines()[0] for text in captions(objective_sheet(pictures, net, shrunk))] == [
        text.splitlines()[0] for text in wanted
    ]
    assert (scores(net, shrunk, digits().held_x[:3]) < scores(net, objective, digits().held_x[:3])).all()


def test_classes_are_captioned_by_their_probability():
    net = inputopt.Frozen(inputopt.load("digits-cnn"))
    pictures = [Picture(x) for x in digits().held_x[:2]]
    shares = net(digits().held_x[:2]).softmax(1)
    wanted = [f"three\nprobability {float(shares[0, 3]):.3f}", f"zero\nprobability {float(shares[1, 0]):.3f}"]
    objective = inputopt.LogProbability([3, 0], 4.0)
    assert captions(objective_sheet(pictures, net, objective, names=["three", "zero"])) == wanted
    assert captions(objective_sheet(pictures, net, objective))[0].startswith("class 3\n")


def test_a_single_objective_has_one_caption():
    net = inputopt.load("digits-cnn")
    (caption,) = captions(objective_sheet([Picture(digits().held_x[0])], net, inputopt.Layer("conv1")))
    assert caption.startswith("conv1 layer\nscore ")


def test_another_number_of_pictures_is_refused():
    with pytest.raises(ValueError, match="2 pictures"):
        objective_sheet([Picture(digits().held_x[0])], inputopt.load("digits-cnn"), inputopt.Class([1, 2]))


@pytest.mark.parametrize("count", range(1, 30))
def test_only_the_last_row_of_a_grid_may_be_incomplete(count):
    for most in range(1, 9):
        rows, columns = grid_shape(count, most)
        assert columns <= most
        assert (rows - 1) * columns < count <= rows * columns
        assert rows == -(-count // most)
        assert rows * columns - count < rows, "no narrower grid would do"


def test_sheets_have_no_empty_row_or_column():
    net = inputopt.Frozen(inputopt.load("digits-cnn"))
    x = digits().held_x[:9]
    journeys = [FrameRecorder(0, [(index, x[index]) for index in range(2)]), FrameRecorder(1, [(0, x[3]), (1, x[4])])]
    for figure, cells, shown in (
        (contact_sheet(x, net, "nine", columns=8), 10, 9),
        (named_sheet(x[:6], (0, 1), list("abcdef"), "six", columns=5), 6, 6),
        (sheet(journeys, net, "two steps"), 6, 6),
    ):
        assert len(figure.axes) == cells
        assert len(captions(figure)) == shown
        assert all(not axes.axison for axes in figure.axes)


def difference(axes):
    """The difference that an axes shows, in units of the pictures' range."""
    factor = float(axes.get_title().splitlines()[0].removeprefix("difference x "))
    return (np.asarray(axes.images[0].get_array()) - 0.5) / factor


@pytest.mark.parametrize("count", [1, 3, 4])
def test_pairs_show_both_predictions_and_the_difference(count):
    net, x, y = inputopt.load("digits-mlp"), digits().held_x[:count], digits().held_y[:count]
    after = inputopt.attacks.FGSM(eps=0.2)(net, x, y).x
    figure = inputopt.pairs_sheet(x, after, net, "before and after")
    cells = np.array(figure.axes).reshape(count, 3) if count <= 3 else np.array(figure.axes).reshape(3, count).T
    for number, (left, middle, right) in enumerate(cells):
        for axes, image in ((left, x[number]), (middle, after[number])):
            share, best = net(image[None]).detach().softmax(1)[0].max(0)
            assert axes.get_title() == f"{int(best)} at {100 * float(share):.1f} %"
            np.testing.assert_allclose(axes.images[0].get_array(), image[0], atol=1e-6)
        np.testing.assert_allclose(difference(right), (after - x)[number, 0], atol=1e-3)


def test_two_equal_images_have_no_difference():
    x = digits().held_x[:2]
    figure = inputopt.pairs_sheet(x, torch.stack([x[0], 1 - x[1]]), inputopt.load("digits-cnn"))
    assert captions(figure)[2] == "no difference"
    assert captions(figure)[5].startswith("difference x 0.5\n")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (torch.zeros(2, 1, 28, 28), torch.zeros(3, 1, 28, 28), "the shape of before"),
        (torch.zeros(1, 28, 28), torch.zeros(1, 28, 28), r"images \[B, C, H, W\]"),
        (torch.zeros(2, 2, 28, 28), torch.zeros(2, 2, 28, 28), "one channel or three"),
    ],
)
def test_pairs_of_other_shapes_are_refused(before, after, words):
    with pytest.raises(ValueError, match=words):
        inputopt.pairs_sheet(before, after, inputopt.load("digits-cnn"))


def test_classes_of_imagenet_are_named_and_others_numbered():
    logits = torch.zeros(1000)
    logits[985] = 20
    assert prediction_text(logits) == "daisy at 100.0 %"
    assert prediction_text(logits[:986]) == "985 at 100.0 %"
    long = torch.zeros(1000)
    long[max(range(1000), key=lambda index: len(inputopt.class_name(index)))] = 20
    assert max(map(len, prediction_text(long).splitlines())) <= 26


def test_a_title_is_wrapped_to_the_width_of_the_figure():
    figure = named_sheet(torch.rand(1, 1, 4, 4), (0, 1), ["a"], "a title that is far too long for one small picture")
    assert figure.get_suptitle().count("\n") >= 2
    figure.set_size_inches(20, 3)
    add_title(figure, "one line\nand another")
    assert figure.get_suptitle() == "one line\nand another"


def test_an_atlas_is_a_grid_with_its_numbers_explained(tmp_path):
    net = inputopt.load("digits-cnn")
    found = inputopt.atlas(net, "conv1", list(digits().held_x[:3]), [3, 1, 0, 2], 28, 2, colours=1, top=2, patch=8)
    figure = found.sheet(columns=3)
    assert len(figure.subfigs) == 4  # 2 x 2 and not 3 + 1
    assert all(len(block.axes) == 3 for block in figure.subfigs)
    titles = [axes.get_title() for axes in figure.subfigs[1].axes]
    assert titles == ["channel 1", *(f"{float(strength):.3g}" for strength in found.strengths[1])]
    assert "activation at its centre" in figure.get_supxlabel().replace("\n", " ")
    shown = np.array(figure.subfigs[0].axes[1].images[0].get_array())
    np.testing.assert_allclose(shown, found.patches[0, 0, 0], atol=1e-6)
