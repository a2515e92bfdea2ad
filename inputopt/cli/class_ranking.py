"""The most probable classes of inputs, for the tables of the verbs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from inputopt.nets.class_names import name_of_class
from inputopt.nets.class_probabilities import only_class, probabilities
from inputopt.nets.frozen import Frozen
from inputopt.zoo.imagenet import TRAINED_AT


def training_size_hint(model: str, x: Tensor) -> str:
    """A paragraph for images x [B, C, H, W] of another size than the network was trained at; empty for others."""
    side = TRAINED_AT.get(model)
    if side is None or (max(x.shape[2:]) <= 1.25 * side and min(x.shape[2:]) >= side / 1.25):
        return ""
    return (
        f"\n\n{model} was trained on images of {side} x {side} and is less sure of other sizes, such as these "
        f"{x.shape[2]} x {x.shape[3]}; --resize {side} scales and crops them to it."
    )


def ranked(net: Frozen, logits: Tensor, top: int) -> list[list[dict[str, Any]]]:
    """The `top` most probable classes of each row of logits [B, n], most probable first: number, name, probability.

    A row of a network that returns only classes has its class alone, and the probability None.
    """
    classes = logits.shape[1]
    shares, indices = probabilities(logits).topk(min(top, classes), 1)
    rows = [
        [
            {"class": index, "name": name_of_class(index, classes, net.facts.class_names), "probability": share}
            for index, share in zip(numbers, row, strict=True)
        ]
        for numbers, row in zip(indices.tolist(), shares.tolist(), strict=True)
    ]
    return [
        [row[0] | {"probability": None}] if only_class(outputs) else row
        for row, outputs in zip(rows, logits, strict=True)
    ]


def classes_text(row: list[dict[str, Any]]) -> str:
    """Classes of one input in a line: name and probability of each."""
    return ", ".join(f"{each['name']} {probability_text(each)}".rstrip() for each in row)


def probability_text(row: dict[str, Any]) -> str:
    """The probability of a class; empty if the network returns only classes."""
    return "" if row["probability"] is None else f"{row['probability']:.3f}"
