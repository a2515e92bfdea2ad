"""Every attack and every stage of a protocol is explained, with the source that its docstring cites."""

import inspect
import re

import pytest

import inputopt
from inputopt.attacks import PGD, MultiTargeted, Round
from inputopt.evaluation.glossary import ATTACK_GLOSSARY, explain_attack
from inputopt.evaluation.protocols import PRESETS, find_protocol
from inputopt.search.norms import NORMS

KINDS = sorted(set(inputopt.attacks.__all__) - {"Round", "Decisions"})


def test_every_public_attack_and_that_of_evaluations_alone_have_an_entry():
    assert sorted(ATTACK_GLOSSARY) == sorted([*KINDS, "DecisionSearch"])


@pytest.mark.parametrize("name", KINDS)
def test_the_source_is_one_that_the_attack_cites(name):
    kind = getattr(inputopt.attacks, name)
    docs = f"{inspect.getdoc(kind)} {inspect.getmodule(kind).__doc__}"
    source = ATTACK_GLOSSARY[name].source
    for word in re.findall(r"(?!after|and|et|al)\b[\w-]{2,}", source):
        assert word in docs, word
    assert source or not re.search(r"et al|and Hein", inspect.getmodule(kind).__doc__)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_stage_of_every_preset_is_explained(preset, norm):
    for text in (str(explain_attack(stage.attack)) for stage in find_protocol(preset, norm)):
        assert re.search(r"\d{4}\)$", text), text
        assert ":" not in text, "it follows the name and a colon"
        assert "\n" not in text


def test_the_rounds_of_a_multi_targeted_attack_are_in_its_sentence():
    attack = MultiTargeted(rounds=(Round(1, 20, (3.0, 2.0)), Round(4, 50, adaptive=True)))
    assert explain_attack(attack).sentence == (
        "PGD towards the likeliest wrong class, 20 steps from a ball of 3 then 2 eps down to eps, then the 4 likeliest "
        "wrong classes, 50 steps of adaptive size"
    )


def test_an_attack_without_an_entry_is_explained_by_its_docstring():
    class Unknown(PGD):
        """Steps of one kind.

        More about it.
        """

    assert str(explain_attack(Unknown())) == "Steps of one kind"
