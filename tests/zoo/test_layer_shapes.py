"""Layers listed from Python: for a given shape, or for the shape that the network most likely takes."""

import pytest
import torch
from torch import nn

import inputopt
from inputopt.zoo.layer_shapes import input_shape


def shapes(model, size=None):
    return {layer.name: layer.shapes for layer in inputopt.layers(model, size)}


def test_the_layers_of_a_shipped_network_need_no_size():
    assert shapes(inputopt.load("digits-cnn"))["conv1"] == ((16, 14, 14),)
    assert shapes(inputopt.load("digits-mlp"))["layers.0"] == ((128,),)


def test_a_size_is_a_side_two_sides_or_a_shape():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    assert shapes(net, 8)["0"] == ((4, 8, 8),)
    assert shapes(net, (8, 6))["0"] == shapes(net, (3, 8, 6))["0"] == ((4, 8, 6),)
    assert shapes(net)["0"] == ((4, 224, 224),)


def test_likely_shapes():
    assert input_shape(inputopt.Frozen(nn.Conv2d(1, 4, 3))) == (1, 28, 28)
    assert input_shape(inputopt.Frozen(inputopt.MLP([7, 3]))) == (7,)
    assert input_shape(inputopt.Frozen(inputopt.load("efficientnet-lite2"))) == (3, 260, 260)


@pytest.mark.parametrize(("size", "words"), [((3, 8, 8, 8), "three numbers"), (0, "size"), ((8, -1), "size")])
def test_wrong_sizes_are_refused(size, words):
    with pytest.raises(ValueError, match=words):
        inputopt.layers(inputopt.load("digits-cnn"), size)


def test_a_size_that_the_network_does_not_take_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="does not accept inputs of shape 9"):
        inputopt.layers(inputopt.MLP([7, 3]), 9)
    with pytest.raises(TypeError, match="size"):
        inputopt.layers(inputopt.MLP([7, 3]), torch.tensor([7.5]))
