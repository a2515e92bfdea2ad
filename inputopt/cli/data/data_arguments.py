"""The data options of the command line, and the sampling of inputs from a data set, a file or a folder."""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inputopt import checks
from inputopt.cli.data.archive_data import archive_inputs, archive_labels
from inputopt.cli.data.class_matching import Matching, match_classes
from inputopt.cli.data.data_digest import digest_of
from inputopt.cli.data.image_folder import Size, add_resize, explain_size, list_images, read_images
from inputopt.cli.data.input_bounds import check_inputs, in_bounds
from inputopt.cli.data.single_image import add_label, check_label, is_image_file, needed_label
from inputopt.cli.data.table_data import read_table
from inputopt.cli.memory_limits import check_memory
from inputopt.cli.model_arguments import answer
from inputopt.cli.parsing import whole
from inputopt.files import FileError, reading
from inputopt.images import are_images
from inputopt.nets.class_names import indices_of
from inputopt.nets.frozen import Frozen
from inputopt.nets.model_errors import InputShapeError, in_words
from inputopt.search.inputs import InputoptWarning
from inputopt.search.result_files import write_images
from inputopt.zoo.digits import HELD_OUT, load_digits
from inputopt.zoo.imagenet import SCALES
from inputopt.zoo.library import shipped

HELP = "digits, an .npz file with arrays x and y, a .csv table, an image, or a folder with a subfolder per class"

CLEAN = "clean"
"""Folder, inside that of --out, of the images as --resize scaled them."""

Array = NDArray[Any]
Read = Callable[[Frozen, Array], Tensor]
"""(network, positions) -> inputs [B, ...] at these positions, scaled to the network's bounds."""


def add_data(command: argparse.ArgumentParser, count: int) -> None:
    """Add the data as a positional argument, and the number of inputs."""
    command.add_argument(
        "data",
        nargs="?",
        help=f"{HELP} that is named after a class of the network or its number (digits networks: digits)",
    )
    command.add_argument(
        "--count", type=whole(), default=count, help="number of inputs, stratified by class (%(default)s)"
    )
    add_resize(command)
    add_label(command)


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
        label: class of a single image, which `read` looks up if it is a name.
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
    label: int | str | None = None

    def read(self, net: Frozen) -> tuple[Data, Tensor]:
        """The selection with the network's classes as `y`, and its inputs [B, ...], checked against the network.

        Raises:
            FileError, ValueError: they cannot be read, hold NaN, exceed the bounds, do not fit the network, a class has
                no logit, or the classes of a folder or a table match none of the network's.
        """
        x = check_inputs(self.name, net, self._read(net, self.positions))
        try:
            classes = answer(net, x).shape[1]
        except InputShapeError as error:
            if not self.is_folder:
                raise
            raise explain_size(error, net, x) from error
        found = self._matched(net, classes)
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
            return replace(self, y=torch.tensor([indices_of(self.label, net.facts.class_names, classes)]))
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

    def without(self, label: int) -> Data:
        """The inputs of all other classes.

        Raises:
            ValueError: there are none.
        """
        kept = self.y != label
        if not bool(kept.any()):
            raise ValueError(f"All selected inputs of {self.name} already have class {label}; choose another --target.")
        names = tuple(name for name, keep in zip(self.names, kept.tolist(), strict=True) if keep)
        return replace(self, positions=self.positions[kept.numpy()], y=self.y[kept], names=names)

    def counts(self) -> dict[int, int]:
        """Number of inputs of each class."""
        return dict(sorted(Counter(self.y.tolist()).items()))

    def plain(self) -> dict[str, Any]:
        """The selection as plain values, for JSON."""
        counts = {str(label): count for label, count in self.counts().items()}
        resized = {} if self.resize is None else {"resize": list(self.resize)}
        matched = {} if self.matching is None else self.matching.plain()
        labels = {"classes": counts} if self.is_labelled else {}
        return {"data": self.name, "inputs": len(self.y), "of": self.total, **labels, **resized, **matched}

    def origin(self) -> dict[str, Any]:
        """Where the inputs come from and which classes they were taken for, for the record of a result."""
        return {"data": self.name, **({} if self.matching is None else self.matching.plain())}

    def described(self) -> str:
        """The selection in one line: number of inputs, total, and inputs per class; and a line with their classes."""
        counts = self.counts()
        least, most = min(counts.values()), max(counts.values())
        each = f"{least}" if least == most else f"{least} to {most}"
        classes = f"{len(counts)} classes, {each} of each" if len(counts) > 1 else f"all of class {next(iter(counts))}"
        resized = "" if self.resize is None else f", resized to {in_words(self.resize)}"
        if not self.is_labelled:
            return f"the image {self.name}{resized}"
        matched = "" if self.matching is None else self.matching.described()
        text = f"{len(self.y):,} of {self.total:,} inputs of {self.name}: {classes}{resized}"
        return f"{text}\n{matched}" if matched else text


def chosen_data(options: argparse.Namespace, needs_labels: bool = True) -> Data:
    """The data of the options; the digits for a digits network if none are given.

    Raises:
        ValueError, FileError: no data are given, or they do not exist or cannot be read; or they are a single image
            without a class, if `needs_labels`.
    """
    if options.data is None and not options.model.startswith("digits"):
        raise ValueError(f"{options.model} has no default data; give {HELP}.")
    name = options.data or "digits"
    check_label(name, options.label)
    if is_image_file(name):
        return single_image(name, needed_label(name, options.label, needs_labels), options.resize)
    return find_data(name, options.count, options.seed, options.resize)


def single_image(name: str, label: int | str | None, resize: Size | None = None) -> Data:
    """One image file as data, of class `label`; unlabelled if None.

    Raises:
        FileError: there is no such file.
    """
    path = Path(name)
    if not path.exists():
        raise FileError(f"There is no file {name}; check the name.")
    return Data(
        name,
        np.zeros(1, dtype=np.int64),
        torch.zeros(1, dtype=torch.int64),
        total=1,
        names=(path.stem,),
        _read=lambda net, rows: in_bounds(net, read_images(net, [path], resize)),
        is_folder=True,
        resize=resize,
        is_labelled=label is not None,
        label=label,
    )


def find_data(name: str, count: int, seed: int = 0, resize: Size | None = None) -> Data:
    """Select `count` inputs of a data set, a file or a folder, stratified by class; all if there are fewer.

    Raises:
        FileError: the file or folder does not exist or cannot be read.
        ValueError: `resize` is given for other data than a folder.
    """
    if resize is not None and not (name != "digits" and Path(name).is_dir()):
        raise ValueError(f"--resize applies to a folder of images, which {name} is not; omit it.")
    if name == "digits":
        return _chosen(name, np.repeat(np.arange(10), HELD_OUT), count, seed, _digits)
    path = Path(name)
    if not path.exists() and name in (*shipped(), *SCALES):
        raise ValueError(f"{name} is a network, not data; give the model first and the data second.")
    if not path.exists():
        raise FileError(f"There is no file or folder {name}; check the name.")
    if path.suffix.lower() == ".csv":
        table = read_table(name, None)
        chosen = _chosen(name, table.y.numpy(), count, seed, lambda net, rows: table.x[torch.from_numpy(rows)])
        return replace(chosen, class_names=dict(enumerate(table.labels)))
    with reading(name, "a folder of classes or an .npz file with arrays x and y"):
        if path.is_dir():
            files, labels, class_names = list_images(path)
            stems = [str(file.relative_to(path).with_suffix("")) for file in files]
            chosen = _chosen(
                name,
                labels,
                count,
                seed,
                lambda net, rows: in_bounds(net, read_images(net, [files[row] for row in rows], resize)),
                stems,
            )
            return replace(chosen, is_folder=True, resize=resize, class_names=class_names)
        labels, size = archive_labels(path)
    check_memory(name, 3.0 * size, "a smaller file")
    return _chosen(name, labels, count, seed, lambda net, rows: archive_inputs(net, path, rows))


def _chosen(name: str, labels: Array, count: int, seed: int, read: Read, stems: Sequence[str] | None = None) -> Data:
    positions = spread(labels, count, seed)
    if stems is None or len(set(stems)) < len(stems):  # images that differ only in their suffix
        names = tuple(f"{labels[place]}/{place:05}" for place in positions)
    else:
        names = tuple(stems[place] for place in positions)
    return Data(name, positions, torch.from_numpy(labels[positions].astype(np.int64)), len(labels), names, read)


def spread(labels: Array, count: int, seed: int) -> Array:
    """Positions of `count` labels, ascending, drawn at random with each class's share to within one.

    The n members of a class get the keys (rank + u) / n, with a random order and a random u in [0, 1) for each class,
    and the smallest `count` keys are selected. In this stratified systematic sample, the expected accuracy is the
    accuracy on all labels.

    >>> labels = np.repeat([0, 1, 2], 100)
    >>> np.bincount(labels[spread(labels, 30, seed=0)]).tolist()
    [10, 10, 10]
    """
    generator = np.random.default_rng(checks.seed(seed))
    keys = np.empty(len(labels))
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        keys[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.sort(np.argsort(keys, kind="stable")[:count])


def _digits(net: Frozen, rows: Array) -> Tensor:
    return in_bounds(net, load_digits().held_x[torch.from_numpy(rows)])
