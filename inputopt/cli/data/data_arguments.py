"""The data options of the command line, and the sampling of inputs from a data set, a file or a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inputopt import checks
from inputopt.cli.data.archive_data import archive_inputs, archive_labels
from inputopt.cli.data.image_folder import Size, add_resize, list_images, read_images
from inputopt.cli.data.input_bounds import in_bounds
from inputopt.cli.data.selected_data import Array, Data, Read
from inputopt.cli.data.single_image import add_label, check_label, is_image_file, needed_label
from inputopt.cli.data.table_data import read_table
from inputopt.cli.memory_limits import check_memory
from inputopt.cli.parsing import whole
from inputopt.cli.typed_classes import file_name
from inputopt.files import FileError, reading
from inputopt.nets.frozen import Frozen
from inputopt.nets.network_facts import UNKNOWN, NetworkFacts
from inputopt.nets.store import facts_in
from inputopt.zoo.digits import HELD_OUT, load_digits
from inputopt.zoo.imagenet import SCALES
from inputopt.zoo.library import shipped

HELP = "digits, an .npz file with arrays x and y, a .csv table, an image, or a folder with a subfolder per class"


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
    data = find_data(name, options.count, options.seed, options.resize, facts_of_file(options.model))
    if needs_labels and not data.is_labelled:
        raise FileError(f"{name} has no column of classes, which {options.command} needs; add one.")
    return data


def facts_of_file(model: str) -> NetworkFacts:
    """What the file of a network says of it; nothing is known of a network that is not in a file."""
    return facts_in(model) if Path(model).suffix == ".safetensors" else UNKNOWN


def single_image(name: str, label: str | None, resize: Size | None = None) -> Data:
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


def find_data(name: str, count: int, seed: int = 0, resize: Size | None = None, facts: NetworkFacts = UNKNOWN) -> Data:
    """Select `count` inputs of a data set, a file or a folder, stratified by class; all if there are fewer.

    `facts`: those of the network; if it was trained on a table, a table may lack the classes.

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
        table = read_table(name, None, facts)
        rows = [
            _row_name(row, table.labels[label] if table.labels else "") for row, label in enumerate(table.y.tolist())
        ]
        chosen = _chosen(name, table.y.numpy(), count, seed, lambda net, rows: table.x[torch.from_numpy(rows)], rows)
        return replace(chosen, class_names=dict(enumerate(table.labels)), is_labelled=bool(table.labels))
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


def _row_name(row: int, label: str) -> str:
    """Name of a row of a table, such as "cat/00012": its class, if known, and its position."""
    folder = file_name(label).lstrip(".")
    return f"{folder}/{row:05}" if folder else f"{row:05}"


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
