"""Pictures on a ViT and a Swin of `transformers`, held against the hidden states that the models give themselves."""

import functools

import pytest
import torch
from contracts import assert_same
from torch.nn import functional

import inputopt
from inputopt.pictures.atlas import strongest
from inputopt.search.channel_axes.layout import network_geometry
from inputopt.search.objectives.guide import guided
from inputopt.search.problem import Problem

SIDE, CLASSES, CHANNEL = 32, 5, 3


@functools.cache
def vit():
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 17, "num_attention_heads": 1, "num_hidden_layers": 2, "intermediate_size": 24}
    config = ViTConfig(**sizes, image_size=SIDE, patch_size=8, num_labels=CLASSES, initializer_range=0.3)
    return ViTForImageClassification(config).eval()  # 17 tokens of 17 features


@functools.cache
def swin():
    from transformers import SwinConfig, SwinForImageClassification

    torch.manual_seed(0)
    sizes = {"embed_dim": 32, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "patch_size": 2}
    config = SwinConfig(**sizes, image_size=SIDE, num_labels=CLASSES, initializer_range=0.3)
    return SwinForImageClassification(config).eval()  # 64 tokens of 64 features behind the first stage


NETS = {
    # the model, a layer, which hidden state it is, its places' grid, and how many tokens come before it
    "vit": (vit, "vit.layers.0", 1, 4, 1),
    "swin": (swin, "swin.encoder.layers.0.downsample", 1, 8, 0),
}
every = pytest.mark.parametrize("name", NETS)


def given(name):
    """The network held still, a layer, what the layer puts out by the model's own account, and its grid."""
    make, layer, number, grid, before = NETS[name]

    def hidden(x):
        return make()(x, output_hidden_states=True).hidden_states[number]

    return inputopt.Frozen(make()), layer, hidden, grid, before


def images(count=2):
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def style(h):
    return h.mT @ h / h.shape[1]


@every
def test_every_objective_is_the_number_that_the_hidden_states_give(name):
    net, layer, hidden, grid, before = given(name)
    x, other = images(2), images(3)[2:]
    with torch.no_grad():
        h, guide = hidden(x), hidden(other)
    way = torch.linspace(-1, 1, h.shape[2])
    middle = before + grid // 2 * grid + grid // 2
    apart = (style(h) - style(guide)).square().sum((1, 2)) / style(guide).square().sum()
    wanted = [
        (inputopt.Channel(layer, CHANNEL), h[:, :, CHANNEL].mean(1)),
        (inputopt.Channel(layer, CHANNEL, axis=-1), h[:, :, CHANNEL].mean(1)),
        (inputopt.Channel(layer, CHANNEL, axis=1), h[:, CHANNEL].mean(1)),
        (inputopt.Neuron(layer, CHANNEL), h[:, middle, CHANNEL]),
        (inputopt.Neuron(layer, CHANNEL, 1, 2), h[:, before + grid + 2, CHANNEL]),
        (inputopt.Neuron(layer, CHANNEL, place=0), h[:, 0, CHANNEL]),
        (inputopt.Direction(layer, way), h.mean(1) @ (way / way.norm())),
        (inputopt.Layer(layer), h.square().mean((1, 2))),
        (inputopt.style_distance({layer: guide}), apart),
        (inputopt.diversity(layer), 1 - functional.cosine_similarity(*style(h).flatten(1).unbind(), 0).repeat(2)),
        (guided({layer: guide}), -(h @ guide[0].T / h.shape[2]).amax(2).mean(1)),
    ]
    label = torch.zeros(2, dtype=torch.int64)
    for objective, value in wanted:
        bound = objective.bound(network_geometry(net, x[:1], [layer]))
        assert_same(bound(net.features(x, [layer]), x, Problem(x, label, label)), value, 1e-4)


@every
def test_pictures_show_more_of_a_channel_of_features(name):
    net, layer, hidden, _, _ = given(name)
    shown = []
    picture = inputopt.visualize(
        net, inputopt.Channel(layer, CHANNEL), SIDE, 20, canvas="fourier", augment=0.0, watch=shown.append
    )
    with torch.no_grad():
        first, last = (float(hidden(x)[0, :, CHANNEL].mean()) for x in (shown[0].x, picture.x[None]))
    assert last > first + 0.2
    assert picture.recipe["channels"][layer].startswith(f"{hidden(images()).shape[2]} channels on axis 2 of [B, ")


@every
def test_dreams_inversions_and_caricatures_lead_where_they_say(name):
    net, layer, hidden, _, _ = given(name)
    photo = images(1)[0]
    with torch.no_grad():
        start = hidden(photo[None])
        dreamt = hidden(inputopt.dream(net, photo, [layer], octaves=1, steps=4, jitter=0, smoothing=0).x[None])
        assert float(dreamt.square().mean()) > 1.05 * float(start.square().mean())
        led = hidden(
            inputopt.dream(net, photo, [layer], octaves=1, steps=4, jitter=0, smoothing=0, guide=images(2)[1]).x[None]
        )
        match = [float((h @ hidden(images(2)[1:])[0].T).amax(2).mean()) for h in (start, led)]
        assert match[1] > 1.05 * match[0]
        back = inputopt.invert(net, photo, [layer], 20, smooth=0.0)
        left = float((hidden(back.x[None]) - start).square().sum() / start.square().sum())
        assert left == pytest.approx(back.recipe["distance"], rel=1e-3)
        more = hidden(inputopt.accentuate(net, photo, [layer], 10, augment=0.0).x[None])
        assert float((more * start).sum() / start.square().sum()) > 1.02


@every
def test_an_atlas_finds_the_patch_that_excites_a_channel_most(name):
    net, layer, hidden, grid, before = given(name)
    x = images(2)
    with torch.no_grad():
        h = hidden(x)[:, before:, [CHANNEL, 0]]  # class tokens are nowhere in the image
    patch = SIDE // grid
    patches, strengths = strongest(net, layer, [x[:1], x[1:]], [CHANNEL, 0], 2, patch)
    for number in range(2):
        wanted, order = h[:, :, number].max(1).values.sort(descending=True)
        assert_same(strengths[number], wanted, 1e-4)
        for rank, image in enumerate(order.tolist()):
            down, across = divmod(int(h[image, :, number].argmax()), grid)
            rows, columns = (slice(place * patch, (place + 1) * patch) for place in (down, across))
            assert_same(patches[number, rank], x[image, :, rows, columns])
    sheet = inputopt.atlas(net, layer, list(x), [CHANNEL], SIDE, 2, top=1, patch=8).sheet()
    assert "channels on axis 2 of [B, " in " ".join(text.get_text() for text in sheet.texts).replace("\n", " ")


@every
def test_saliency_and_evolution_go_by_the_logits(name):
    net, model = inputopt.Frozen(NETS[name][0]()), NETS[name][0]()
    x, y = images(2).requires_grad_(), torch.tensor([1, 4])
    (wanted,) = torch.autograd.grad(model(x).logits.gather(1, y[:, None]).sum(), x)
    assert_same(inputopt.saliency(net, x, y, "gradient"), wanted, 1e-4)
    found = inputopt.evolve_images(net, [1, 2], (3, SIDE, SIDE), 3, confidence=0.999)
    with torch.no_grad():
        assert_same(found.probability, model(found.x).logits.softmax(1)[torch.arange(2), torch.tensor([1, 2])], 1e-4)
