"""The progress bar fits every callback argument, and shows what it is told."""

import pytest
import torch
from contracts import digits, digits_net

import inputopt


def test_it_counts_steps_and_the_unfinished(capsys):
    with inputopt.progress_bar("attack", total=6) as bar:
        inputopt.attacks.PGD(eps=1e-4, steps=5)(digits_net(), digits().held_x[:4], watch=bar)
    shown = capsys.readouterr().err
    assert "attack: 100%" in shown
    assert "6/6" in shown
    assert "4 unfinished" in shown


def test_it_names_the_attacks_of_an_evaluation(capsys):
    with inputopt.progress_bar() as bar:
        inputopt.evaluate(digits_net(), digits().held_x[:3], digits().held_y[:3], preset="quick", progress=bar)
    shown = capsys.readouterr().err
    assert "likeliest class, near the boundary: 3it" in shown


def test_it_follows_training_to_the_last_update(capsys):
    with inputopt.progress_bar("training") as bar:
        inputopt.train(inputopt.MLP([1, 1]), [[1.0]], [[0.0]], steps=200, progress=bar)
    shown = capsys.readouterr().err
    assert "200/200" in shown
    assert "error 0." in shown


def test_it_takes_the_arguments_of_every_other_callback(capsys):
    bar = inputopt.progress_bar(total=3)
    bar(3)
    bar(4, 0.5)
    bar(5, torch.zeros(2))
    bar.close()
    assert "3/3" in capsys.readouterr().err


def test_a_wrong_total_is_refused():
    with pytest.raises(ValueError, match="total"):
        inputopt.progress_bar(total=0)
