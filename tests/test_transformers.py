"""Networks of `transformers`: checked as every other network, and layer by layer against their own hidden states."""

from __future__ import annotations

import functools

import network_checks
import pytest
import torch
from kinds.hugging import HUGGING
from reference import Case, case_of

import inputopt

NETWORKS = {network.name: network for network in HUGGING.networks}
every = pytest.mark.parametrize("name", NETWORKS)


@functools.cache
def case(name: str) -> Case:
    """Made once: importing and building take seconds."""
    return case_of(NETWORKS[name])


@every
def test_it_answers_and_derives_as_the_plain_network(name):
    network_checks.check_answers(case(name))


@every
def test_it_is_searched_as_the_plain_network_in_every_norm(name):
    network_checks.check_searches(case(name))


@every
def test_a_preset_and_a_picture_take_it_as_it_is(name):
    network_checks.check_model_as_it_is(case(name))


HIDDEN = {
    "vision transformer": ["vit.layers.0", "vit.layers.1"],
    "shifted windows": ["swin.encoder.layers.0", "swin.encoder.layers.1"],
    "convolutions with layer norms": ["convnext.encoder.stages.0", "convnext.encoder.stages.1"],
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_layer_is_the_hidden_state_that_it_puts_out(name):
    this = case(name)
    with torch.no_grad():
        states = this.plain_model(this.x.double(), output_hidden_states=True).hidden_states
    found = inputopt.Frozen(this.network.made()).features(this.x, HIDDEN[name])
    for layer, state in zip(HIDDEN[name], states[1:], strict=False):
        torch.testing.assert_close(found[layer].double(), state, rtol=0, atol=1e-4)
