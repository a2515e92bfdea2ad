"""Labelled inputs selected at the command line: how they are read, matched to the network's classes and described."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from inputopt import checks
from inputopt.cli.data.class_matching import Matching, match_classes
from inputopt.cli.data.data_digest import digest_of
from inputopt.cli.data.image_folder import Size, explain_size
from inputopt.cli.data.input_bounds import check_inputs
from inputopt.cli.model_arguments import answer
from inputopt.cli.typed_classes import class_text, numbers_are_names, typed_index
from inputopt.images import are_images
from inputopt.nets.class_names import name_of_class
from inputopt.nets.frozen import Frozen
from inputopt.nets.model_errors import InputShapeError, in_words
from inputopt.search.inputs import InputoptWarning
from inputopt.search.result_files import write_images

CLEAN = "clean"
"""Folder, inside that of --out, of the images as --resize scaled them."""

Array = NDArray[Any]
Read = Callable[[Frozen, Array], Tensor]
"""(network, positions) -> inputs [B, ...] at these positions, scaled to the network's bounds."""


@dataclass(frozen=True)
class Data:
    """Labelled inputs that are selected but not yet read.

    Attributes:
        name: as given by the user.
        positions: indices of the selected inputs, ascending, [B].
        y: their classes, [B].
        total: number of inputs to select from.
        names: name of each selected input without its suffix, such as "3/00012": the class, and the file's name or the
            position in the data.
        is_folder: whether the inputs are image files.
        class_names: for a folder or a table, the name of each class by the number in `y`, in sorted order, also of
            classes without an input; else empty.
        matching: the network's class of each of them, after `read`.
        resize: height and width that they are scaled to; None if they are kept as they are.
        is_labelled: whether `y` are their classes; else 0, for verbs that need none.
        label: class of a single image as typed, which `read` looks up.
        predicted: the predicted class in words, where predictions are taken for classes that are not known.
        excluded: a class whose inputs were left out.
        network_names: names of the network's classes, after `read`; None if they are not known.
    """

    name: str
    positions: Array
    y: Tensor
    total: int
    names: tuple[str, ...]
    _read: Read
    is_folder: bool = False
    resize: Size | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    matching: Matching | None = None
    is_labelled: bool = True
    label: str | None = None
    predicted: str | None = None
    excluded: int | None = None
    network_names: tuple[str, ...] | None = None

    def read(self, net: Frozen, bounded: bool = True) -> tuple[Data, Tensor]:
        """The selection with the network's classes as `y`, and its inputs [B, ...], checked against the network.

        `bounded`: whether inputs outside of the network's bounds are refused, as searches need.

        Raises:
            FileError, ValueError: they cannot be read, hold NaN, exceed the bounds, do not fit the network, a class has
                no logit, or the classes of a folder or a table match none of the network's.
        """
        x = self._read(net, self.positions)
        x = check_inputs(self.name, net, x) if bounded else checks.finite(f"the inputs of {self.name}", x)
        try:
            classes = answer(net, x).shape[1]
        except InputShapeError as error:
            if not self.is_folder:
                raise
            raise explain_size(error, net, x) from error
        found = replace(self, network_names=net.facts.class_names)._matched(net, classes)
        trained_on = net.facts.trained_on
        if trained_on is not None and Path(self.name).exists() and digest_of(self.name) == trained_on:
            warnings.warn(
                f"The network was trained on {self.name}, so accuracies measured on it are higher than on new data.",
                InputoptWarning,
                stacklevel=2,
            )
        checks.classes(f"the classes of {self.name}", found.y, classes)
        return found, x

    def inputs(self, net: Frozen) -> Tensor:
        """The inputs [B, ...] that `read` returns."""
        return self.read(net)[1]

    def _matched(self, net: Frozen, classes: int) -> Data:
        if self.label is not None:
            return replace(self, y=torch.tensor([typed_index(self.label, net, classes)]))
        if not self.class_names:
            return self
        what = f"The {'folder' if self.is_folder else 'table'} {self.name}"
        present = [name for label, name in self.class_names.items() if bool((self.y == label).any())]
        every = list(self.class_names.values())
        matching = match_classes(what, present, every, net.facts.class_names, classes)
        y = torch.tensor([matching.indices[self.class_names[label]] for label in self.y.tolist()])
        return replace(self, y=y, matching=matching)

    def clean_files(self) -> list[str]:
        """Names of the files that `save_clean` writes, inside its folder; none without --resize."""
        return [] if self.resize is None else [f"{CLEAN}/{name}.png" for name in self.names]

    def save_clean(self, net: Frozen, x: Tensor, folder: Path) -> list[Path]:
        """Write the scaled images x [B, C, H, W] as PNG files, which adversarial images are compared with.

        The files on disk have another size than these. Returns the folder written; nothing is written without --resize.
        """
        if self.resize is None or not are_images(x, net.bounds):
            return []
        write_images(x, net.bounds, [folder / name for name in self.clean_files()])
        return [folder / CLEAN]

    def with_predicted_class(self, net: Frozen, x: Tensor) -> Data:
        """The data, of the classes that the network predicts for x [B, ...] if theirs are not known."""
        if self.is_labelled:
            return self
        with torch.no_grad():
            logits = net(x)
        y = logits.argmax(1).cpu()
        named = f"class {name_of_class(int(y[0]), logits.shape[1], net.facts.class_names)}"
        return replace(self, y=y, predicted=named if len(y) == 1 else "classes")

    def without(self, label: int) -> Data:
        """The inputs of all other classes.

        Raises:
            ValueError: there are none.
        """
        kept = self.y != label
        if not bool(kept.any()):
            raise ValueError(
                f"All selected inputs of {self.name} already have class {self._text(label)}; choose another --target."
            )
        names = tuple(name for name, keep in zip(self.names, kept.tolist(), strict=True) if keep)
        return replace(self, positions=self.positions[kept.numpy()], y=self.y[kept], names=names, excluded=label)

    def names_at(self, rows: Tensor) -> list[str]:
        """Names of the inputs at the rows that are true in bool [B]."""
        return [name for name, chosen in zip(self.names, rows.tolist(), strict=True) if chosen]

    def counts(self) -> dict[int, int]:
        """Number of inputs of each class."""
        return dict(sorted(Counter(self.y.tolist()).items()))

    def _text(self, label: int) -> str:
        """A class of the network in words."""
        return class_text(label, self.network_names)

    def plain(self) -> dict[str, Any]:
        """The selection as plain values, for JSON."""
        counts = {str(label): count for label, count in self.counts().items()}
        resized = {} if self.resize is None else {"resize": list(self.resize)}
        matched = {} if self.matching is None else self.matching.plain()
        labels = {"classes": counts} if self.is_labelled or self.predicted is not None else {}
        names = {"class_names": list(self.network_names or ())} if numbers_are_names(self.network_names) else {}
        return {"data": self.name, "inputs": len(self.y), "of": self.total, **labels, **names, **resized, **matched}

    def origin(self) -> dict[str, Any]:
        """Where the inputs come from and which classes they were taken for, for the record of a result."""
        return {"data": self.name, **({} if self.matching is None else self.matching.plain())}

    def described(self) -> str:
        """The selection in one line: number of inputs, total, and inputs per class; and a line with their classes."""
        counts = self.counts()
        least, most = min(counts.values()), max(counts.values())
        each = f"{least}" if least == most else f"{least} to {most}"
        classes = (
            f"{len(counts)} classes, {each} of each"
            if len(counts) > 1
            else f"all of class {self._text(next(iter(counts)))}"
        )
        resized = "" if self.resize is None else f", resized to {in_words(self.resize)}"
        if not self.is_labelled:
            other = " (--label gives another)" if self.is_folder else ""
            assumed = "" if self.predicted is None else f", taken for the predicted {self.predicted}{other}"
            what = (
                f"the image {self.name}" if self.is_folder else f"{len(self.y):,} of {self.total:,} rows of {self.name}"
            )
            return f"{what}{resized}{assumed}"
        matched = "" if self.matching is None else self.matching.described(self._text)
        without = "" if self.excluded is None else f", without those of the target class {self._text(self.excluded)}"
        text = f"{len(self.y):,} of {self.total:,} inputs of {self.name}: {classes}{without}{resized}"
        return f"{text}\n{matched}" if matched else text
