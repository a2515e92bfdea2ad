"""Every module of evaluation/indicators is registered under its own name and is silent without evidence."""

from pathlib import Path

import pytest
import torch

from inputopt.evaluation import indicators
from inputopt.evaluation.indicators import INDICATORS, Evidence
from inputopt.search.network_traits import NetworkTraits

NONE = torch.zeros(4, dtype=torch.bool)
ALL = ~NONE
SOUND = Evidence(NetworkTraits(10, False), 1, 0.0, (), NONE, NONE, 0, False)
SUSPECT = Evidence(NetworkTraits(2, True, True, True, True), 1, 1.0, (), ALL, ALL, 3, True)


def test_every_module_is_an_indicator_of_its_name():
    modules = {path.stem for path in Path(indicators.__file__).parent.glob("*.py")} - {"__init__", "indicator"}
    assert {check.__name__ for check in INDICATORS} == modules
    assert len(INDICATORS) == len(modules)


@pytest.mark.parametrize("check", INDICATORS, ids=lambda check: check.__name__)
def test_an_indicator_is_silent_on_a_sound_network_and_named_after_its_module(check):
    assert check(SOUND) is None
    found = check(SUSPECT)
    if found is not None:
        assert found.id == check.__name__
        assert found.meaning.endswith(".")


def test_suspect_evidence_raises_almost_every_indicator():
    assert sum(check(SUSPECT) is not None for check in INDICATORS) >= len(INDICATORS) - 2  # two need rows of attacks
