import json

import numpy as np
import pytest
import torch
from contracts import assert_same, digits, digits_net
from PIL import Image

import inputopt
from inputopt import FileError, Picture
from inputopt.pictures.picture import read_photo, to_image
from inputopt.pictures.reproduction import make_again
from inputopt.pictures.sheet import FrameRecorder, contact_sheet, sheet
from inputopt.pictures.zoom import nearer

RECIPE = {"made by": "a test", "layers": ["a", "b"], "seed": -3, "rate": 0.1, "name": "Größe 3 × 4"}


def values(*shape, low=0.0, high=1.0):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x.view(-1)[:2] = torch.tensor([0.0, 1.0])
    return low + (high - low) * x


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-2.5, 0.25)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_reads_back_within_half_a_level(tmp_path, channels, bounds):
    low, high = bounds
    x = values(channels, 13, 9, low=low, high=high)
    Picture(x, RECIPE, bounds).save(tmp_path / "a.png")
    back = low + (high - low) * read_photo(tmp_path / "a.png").double()
    assert back.shape == x.shape
    assert float((back - x).abs().max()) <= (high - low) * (0.5 / 255 + 1e-7)  # what is read is float32
    assert float(back[x == low].max()) == low
    assert float((back[x == high] - high).abs().max()) < 1e-6


def test_levels_are_rounded_and_not_cut_off():
    x = torch.tensor([0.0, 0.49, 0.51, 1.49, 253.51, 254.49, 254.51, 255.0]).reshape(1, 1, -1) / 255
    assert np.asarray(to_image(x)).tolist() == [[0, 0, 1, 1, 254, 254, 255, 255]]


def test_what_lies_outside_the_bounds_is_shown_at_them():
    assert np.asarray(to_image(torch.tensor([-9.0, 9.0]).reshape(1, 1, 2))).tolist() == [[0, 255]]


def test_every_level_reads_back_exactly(tmp_path):
    x = torch.arange(256, dtype=torch.float32).reshape(1, 16, 16) / 255
    Picture(x, {}).save(tmp_path / "a.png")
    assert_same(read_photo(tmp_path / "a.png"), x)


def test_the_recipe_goes_along_as_text(tmp_path):
    Picture(values(3, 4, 4), RECIPE).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert json.loads(image.text["inputopt"]) == RECIPE


def test_a_dream_is_saved_with_what_made_it(tmp_path):
    picture = inputopt.dream(digits_net(), digits().held_x[0], ["layers.0"], octaves=1, steps=2, seed=4)
    picture.save(tmp_path / "new" / "folder" / "dream.PNG")
    with Image.open(tmp_path / "new" / "folder" / "dream.PNG") as image:
        assert json.loads(image.text["inputopt"]) == picture.recipe
        assert (image.mode, image.size) == ("L", (28, 28))
    assert_same(read_photo(tmp_path / "new" / "folder" / "dream.PNG"), picture.x, 0.5 / 255 + 1e-6)


def test_saving_replaces_a_file_whole_or_not_at_all(tmp_path):
    Picture(values(1, 4, 4), {}).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(TypeError):
        Picture(values(1, 4, 4), {"not plain": torch.zeros(2)}).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def stop_at(step):
    def watch(snapshot):
        if snapshot.index == step:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("name", ["dream", "nearer", "visualize", "invert", "accentuate"])
def test_every_picture_that_is_interrupted_is_kept_and_says_that_it_is_not_done(name, tmp_path):
    net, photo, layers = digits_net(), digits().held_x[0], ["layers.0"]
    made = {
        "dream": lambda watch: inputopt.dream(net, photo, layers, octaves=1, watch=watch),
        "nearer": lambda watch: nearer(net, photo, layers, octaves=1, watch=watch),
        "visualize": lambda watch: inputopt.visualize(net, inputopt.Class([1, 2]), 28, 9, colours=1, watch=watch),
        "invert": lambda watch: inputopt.invert(net, photo, layers, 9, watch=watch),
        "accentuate": lambda watch: inputopt.accentuate(net, photo, layers, 9, watch=watch),
    }[name]
    shown = []
    with pytest.raises(inputopt.Interrupted) as caught:
        made(lambda snapshot: (shown.append(snapshot.x), stop_at(2)(snapshot)))
    pictures = caught.value.pictures
    assert len(shown) == 3
    assert_same(torch.stack([picture.x for picture in pictures]), shown[-1], 1e-6)
    for picture in pictures:
        picture.save(tmp_path / "a.png")
        assert (picture.recipe["made by"], picture.recipe["interrupted"]) == (name, True)
        with pytest.raises(ValueError, match="interrupted"):
            make_again(picture.recipe, inputopt.load)


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_have_one_channel_or_three(tmp_path, channels):
    # anything else would be taken for transparency
    with pytest.raises(ValueError, match="channel"):
        Picture(values(channels, 4, 4), {}).save(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.gif"])
def test_pictures_are_png_only(tmp_path, name):
    with pytest.raises(FileError, match=r"\.png"):
        Picture(values(1, 2, 2), {}).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="Cannot write"):
        Picture(values(1, 2, 2), {}).save(tmp_path / "file" / "a.png")
    (tmp_path / "a.png").mkdir()
    with pytest.raises(FileError, match="Cannot write"):
        Picture(values(1, 2, 2), {}).save(tmp_path / "a.png")


# -------------------------------------------------------------------------------------------------------------- reading
LEVELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(image, name="a.png"):
        image.save(tmp_path / name)
        return tmp_path / name

    return save


def as_read(levels):
    levels = torch.from_numpy(np.array(levels, dtype=np.float32))
    return (levels[None] if levels.ndim == 2 else levels.movedim(-1, 0)) / 255


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", slice(0, 1)), ("RGB", slice(0, 3)), ("RGBA", slice(0, 3)), ("LA", slice(0, 1))]
)
def test_grey_and_coloured_photos_with_and_without_transparency(saved, mode, channels):
    levels = LEVELS[..., 0] if mode == "L" else LEVELS[..., : len(mode)]
    image = Image.fromarray(levels.copy())
    assert image.mode == mode
    expected = as_read(LEVELS[..., channels])
    assert_same(read_photo(saved(image)), expected)
    assert_same(read_photo(image), expected)
    assert read_photo(image).dtype == torch.float32


def test_a_palette_is_looked_up(saved):
    image = Image.fromarray(LEVELS[..., 0] // 64).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]])[LEVELS[..., 0] // 64]
    assert_same(read_photo(saved(image)), as_read(expected))


def test_black_and_white(saved):
    image = Image.fromarray(LEVELS[..., 0] > 127)
    assert image.mode == "1"
    assert_same(read_photo(saved(image)), as_read(255 * (LEVELS[..., 0] > 127)))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_keep_their_brightness(saved, name):
    deep = np.array([[0, 128, 257, 1000], [32768, 40000, 65278, 65535]], dtype=np.uint16)
    found = read_photo(saved(Image.fromarray(deep), name))
    assert found.shape == (1, 2, 4)
    assert float((found[0] - torch.from_numpy(deep / 65535)).abs().max()) <= 0.5 / 255 + 1e-6  # read as 8 bits
    assert float(found.max()) == 1


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_without_a_known_white_are_refused(saved, kind):
    image = Image.fromarray(np.array([[0, 1], [100, 200]], dtype=kind))
    words = r"values, of which none is known to be black or white; convert it to 8 or 16 bits, or give an array\.$"
    with pytest.raises(FileError, match=r"The photo has (32-bit|floating-point) " + words):
        read_photo(image)
    with pytest.raises(FileError, match=r"a\.tif has (32-bit|floating-point) " + words):
        read_photo(saved(image, "a.tif"), 3, resize=2)


def test_16_bits_that_pillow_widens_are_read(saved):
    deep = np.array([[0, 1000], [40000, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(deep), "a.pgm")
    with Image.open(path) as opened:
        assert opened.mode == "I"
    assert float((read_photo(path)[0] - torch.from_numpy(deep / 65535)).abs().max()) <= 0.5 / 255 + 1e-6


def test_16_bits_are_turned_as_the_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[0, 257 * 255]], dtype=np.uint16)).save(tmp_path / "turned.png", exif=exif)
    assert read_photo(tmp_path / "turned.png").tolist() == [[[0.0], [1.0]]]


def test_16_bits_the_other_way_round(saved):
    deep = np.array([[0, 1000], [40000, 65535]], dtype=">u2")
    image = Image.frombytes("I;16B", (2, 2), deep.tobytes())
    found = read_photo(saved(image, "a.tif"))
    assert found.shape == (1, 2, 2)
    assert float((found[0] - torch.from_numpy(deep.astype(float) / 65535)).abs().max()) <= 0.5 / 255 + 1e-6


def test_a_single_pixel(saved):
    assert_same(read_photo(saved(Image.new("L", (1, 1), 51))), torch.tensor([[[0.2]]]), 1e-7)
    assert_same(read_photo(saved(Image.new("RGB", (1, 1), (255, 0, 51)))), torch.tensor([1, 0, 0.2]).reshape(3, 1, 1))


def test_channels_may_be_asked_for(saved):
    path = saved(Image.fromarray(LEVELS[..., :3].copy()))
    grey = read_photo(path, channels=1)
    assert grey.shape == (1, 6, 5)
    # ITU-R 601-2, as Pillow's manual states it
    by_hand = (LEVELS[..., :3] @ np.array([0.299, 0.587, 0.114]))[None] / 255
    assert float((grey - torch.from_numpy(by_hand)).abs().max()) < 1 / 255
    flat = saved(Image.fromarray(LEVELS[..., 0].copy()), "b.png")
    assert_same(read_photo(flat, channels=3), as_read(LEVELS[..., 0]).expand(3, 6, 5))


def test_a_tensor_is_taken_as_it_is():
    x = values(2, 3, 4)
    assert_same(read_photo(x), x)


@pytest.mark.parametrize(
    ("size", "part"), [((40, 40), (0, 40, 11, 51)), ((3, 7), (6, 33, 0, 63)), (6, (0, 40, 11, 51))]
)
def test_resizing_keeps_the_centre_and_the_shorter_side_and_does_not_alias(size, part):
    levels = np.random.default_rng(3).integers(0, 256, (40, 63, 3), dtype=np.uint8)
    height, width = (size, size) if isinstance(size, int) else size
    top, bottom, left, right = part
    cut = torch.from_numpy(levels[top:bottom, left:right]).movedim(-1, 0)[None].double() / 255
    expected = torch.nn.functional.interpolate(cut, (height, width), mode="bilinear", antialias=True)[0]
    found = read_photo(levels, resize=size)
    assert found.shape == (3, height, width)
    assert float((found - expected).abs().max()) <= 1 / 255  # another implementation, which does not round to levels
    assert_same(found * 255, (found * 255).round(), 1e-4)


def test_resizing_averages_what_is_finer_than_a_pixel():
    board = np.indices((64, 96)).sum(0) % 2 * 255
    found = read_photo(Image.fromarray(board.astype(np.uint8)), resize=8)
    assert float((found - 0.5).abs().max()) < 0.02
    assert read_photo(Image.new("RGB", (1, 5000), (10, 20, 30)), resize=2).unique().tolist() == pytest.approx(
        [10 / 255, 20 / 255, 30 / 255]
    )


def test_an_image_is_turned_upright_before_it_is_resized(tmp_path):
    levels = np.zeros((30, 10), np.uint8)
    levels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter to the right
    Image.fromarray(levels).save(tmp_path / "a.png", exif=exif)
    found = read_photo(tmp_path / "a.png", resize=(2, 6))
    assert found.shape == (1, 2, 6)
    assert found[0].mean(0).tolist() == pytest.approx([0, 0, 0, 0, 1, 1], abs=0.15)  # the filter is two pixels wide


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "at least 1"),
        (2.5, "whole number"),
        ((3, 4, 5), "not 3 numbers"),
        ((9000, 9000), "64 million"),
        ((), "not 0"),
    ],
)
def test_no_size_is_a_sentence(size, words):
    with pytest.raises((ValueError, TypeError), match=words):
        read_photo(Image.new("L", (4, 4)), resize=size)


def test_numbers_are_not_resized():
    with pytest.raises(ValueError, match="resize applies to images"):
        read_photo(torch.zeros(1, 4, 4), resize=2)


def test_paths_may_be_text(saved):
    path = saved(Image.fromarray(LEVELS[..., 0].copy()))
    assert_same(read_photo(str(path)), read_photo(path))


def test_files_that_are_no_images(tmp_path, saved):
    whole = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8))).read_bytes()
    for name, content in {
        "cut.png": whole[: len(whole) // 2],
        "head.png": whole[:20],
        "text.png": b"this is not a picture",
        "empty.png": b"",
        "spoilt.png": whole[:60] + bytes(100) + whole[160:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=name) as caught:
            read_photo(tmp_path / name)
        assert "cannot be read as an image" in str(caught.value)
    with pytest.raises(FileError, match=r"no file .*gone\.png"):
        read_photo(tmp_path / "gone.png")
    with pytest.raises(FileError, match="cannot be read as an image"):
        read_photo(tmp_path)


# --------------------------------------------------------------------------------------------------------------- sheets
def test_a_sheet_shows_start_steps_end_and_difference():
    net, journeys = inputopt.Frozen(digits_net()), [FrameRecorder(0), FrameRecorder(1)]
    x, y = digits().held_x[:2], digits().held_y[:2]
    y = net(x).argmax(1)
    inputopt.ascend(net, x, y, watch=lambda snapshot: [journey(snapshot) for journey in journeys])
    for row, journey in enumerate(journeys):
        assert_same(journey.frames[0][1], x[row])
        assert [index for index, _ in journey.frames] == list(range(len(journey.frames)))
    figure = sheet(journeys, net, "up", between=2)
    grid = np.array(figure.axes).reshape(2, 5)
    for row, journey in enumerate(journeys):
        start, end = journey.frames[0][1], journey.frames[-1][1]
        assert_same(torch.from_numpy(np.array(grid[row, 0].images[0].get_array())), start[0])
        assert_same(torch.from_numpy(np.array(grid[row, 3].images[0].get_array())), end[0])
        assert f"{int(y[row])} at" in grid[row, 0].get_title()
        assert f"{int(y[row])} at" not in grid[row, 3].get_title()
        difference = torch.from_numpy(np.array(grid[row, 4].images[0].get_array()))
        largest = float((end - start).abs().max())
        assert_same(difference, 0.5 + (end - start)[0] / largest / 2, 1e-5)
        assert f"L2 {float((end - start).norm()):.2f}" in grid[row, 4].get_title()


def test_a_short_journey_leaves_no_place_of_a_sheet_empty():
    net, x = inputopt.Frozen(digits_net()), digits().held_x
    journeys = [FrameRecorder(row, [(step, x[step]) for step in range(steps)]) for row, steps in enumerate((9, 4, 1))]
    grid = np.array(sheet(journeys, net, "up").axes).reshape(3, 6)
    steps = [[int(axes.get_title().split()[1]) for axes in row[:5]] for row in grid]
    assert steps == [[0, 2, 4, 6, 8], [0, 1, 2, 2, 3], [0, 0, 0, 0, 0]]
    assert all(len(axes.images) == 1 for axes in grid.flat)


def test_a_journey_has_as_many_stops_as_frames():
    journey = FrameRecorder(0, [(index, torch.zeros(1, 1, 1)) for index in range(9)])
    assert [index for index, _ in journey.stops(1)] == [0, 4, 8]
    assert [index for index, _ in journey.stops(3)] == [0, 2, 4, 6, 8]
    assert [index for index, _ in FrameRecorder(0, journey.frames[:2]).stops(3)] == [0, 1]
    assert [index for index, _ in FrameRecorder(0, journey.frames[:1]).stops(3)] == [0]


def test_a_contact_sheet_names_every_image():
    figure = contact_sheet(digits().held_x[:10], inputopt.Frozen(digits_net()), "all", columns=4)
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    seen = digits_net()(digits().held_x[:10]).argmax(1).tolist()
    assert [title.split()[0] for title in titles] == [str(number) for number in seen]
    assert len(figure.axes) == 12


def test_values_outside_of_black_and_white_are_refused(tmp_path):
    x = torch.full((1, 4, 4), 200.0)
    with pytest.raises(ValueError, match="give its bounds"):
        inputopt.Picture(x).save(tmp_path / "x.png")
    inputopt.Picture(x, bounds=(0, 255)).save(tmp_path / "x.png")
    assert float(inputopt.read_photo(tmp_path / "x.png").max()) == pytest.approx(200 / 255)
    with pytest.raises(ValueError, match="bounds"):
        inputopt.pairs_sheet(x[None], x[None], lambda x: x.flatten(1)[:, :3])


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_a_sheet_counts_the_pixels_of_a_sparse_change_and_invents_no_probabilities():
    x = torch.full((1, 3, 8, 8), 0.5)
    after = x.clone()
    after[:, :2, 2, 3], after[:, 0, 4, 4] = 0.75, 0.25

    def decides(z):
        return 2 * torch.nn.functional.one_hot((z.flatten(1).sum(1) > 96).long(), 3).float() - 1

    before, changed, difference = titles(inputopt.pairs_sheet(x, after, decides))
    assert (before, changed) == ("0", "1")
    assert "2 of 64 pixels" in difference
    _, _, dense = titles(inputopt.pairs_sheet(x, x + 0.1, decides))
    assert "pixels" not in dense
    assert "%" in titles(inputopt.pairs_sheet(x, after, lambda z: z.flatten(1)[:, :3]))[0]
