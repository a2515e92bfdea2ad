"""The verbs of the command line, and the flags that all of them share; imports no torch, so that --help is quick."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from inputopt.cli.parsing import seed


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        module: module of `inputopt.cli.commands` that defines it.
        summary: one line for `inputopt --help`.
        example: a command line that its --help shows, and that a test runs.
    """

    module: str
    summary: str
    example: str


VERBS = {
    "fool": Verb(
        "command_fool",
        "optimise noise until the network is confident of a class",
        "inputopt fool digits-mlp --target 8",
    ),
    "ascend": Verb(
        "command_fool",
        "raise the loss of correctly classified inputs until they are misclassified",
        "inputopt ascend digits-mlp digits --count 50",
    ),
    "attack": Verb(
        "command_attack",
        "run one attack within a fixed distance",
        "inputopt attack digits-cnn digits --attack apgd --eps 0.1 --levels 256",
    ),
    "evaluate": Verb(
        "command_evaluate",
        "measure robust accuracy with a protocol of attacks",
        "inputopt evaluate digits-cnn-robust digits --eps 0.2 --preset quick --count 100",
    ),
    "nearest": Verb(
        "command_nearest",
        "find the nearest adversarial examples, and draw accuracy against distance",
        "inputopt nearest digits-mlp digits --norm l2 --queries 200 --count 20",
    ),
    "certify": Verb(
        "command_certify",
        "prove which inputs are classified correctly in a whole ball",
        "inputopt certify digits-mlp digits --norm linf --eps 0.02 --count 50",
    ),
    "saliency": Verb(
        "command_saliency",
        "map which pixels a prediction depends on",
        "inputopt saliency digits-cnn digits --method integrated --count 8",
    ),
    "spurious": Verb(
        "command_spurious",
        "find which image region drives the predictions of each class",
        "inputopt spurious digits-mlp digits --count 50 --steps 20",
    ),
    "dream": Verb(
        "command_dream",
        "DeepDream: amplify the features that layers find in a photo",
        "inputopt dream efficientnet-lite0 photo.jpg --layers blocks.5 --octaves 2 --steps 4",
    ),
    "zoom": Verb(
        "command_zoom",
        "make a film that zooms into a dream; an interrupted run is continued",
        "inputopt zoom efficientnet-lite0 photo.jpg --layers blocks.5 --frames 3 --steps 1",
    ),
    "visualize": Verb(
        "command_visualize",
        "make images that maximise a channel, a layer or a class",
        "inputopt visualize efficientnet-lite0 --layer blocks.3 --channels 4,7 --size 96 --steps 8",
    ),
    "evolve": Verb(
        "command_evolve",
        "evolve images until the network assigns them to classes, without gradients",
        "inputopt evolve digits-cnn --classes 3,5 --generations 5 --confidence 0.01",
    ),
    "atlas": Verb(
        "command_atlas",
        "visualise channels of a layer, beside the photo patches that activate them most",
        "inputopt atlas efficientnet-lite0 photos --layer blocks.3 --channels 4,7 --size 96 --steps 8",
    ),
    "invert": Verb(
        "command_invert",
        "optimise noise until a layer's activations match those of a photo",
        "inputopt invert efficientnet-lite0 photo.jpg --layers blocks.2 --steps 8",
    ),
    "accentuate": Verb(
        "command_invert",
        "exaggerate in a photo what a layer finds in it",
        "inputopt accentuate efficientnet-lite0 photo.jpg --layers blocks.5 --steps 8",
    ),
    "layers": Verb(
        "command_layers",
        "list the names and output shapes of a network's layers",
        "inputopt layers efficientnet-lite0 --size 128",
    ),
    "models": Verb(
        "command_models",
        "list the networks that can be used by name, or the classes of one",
        "inputopt models efficientnet-lite0 --find cat",
    ),
    "classify": Verb(
        "command_classify",
        "print the most probable classes of an image or other inputs",
        "inputopt classify efficientnet-lite0 photo.jpg",
    ),
    "train": Verb(
        "command_train",
        "train a network on a table or an image folder, or a shipped one again",
        "inputopt train mlp table.csv --hidden 16 --epochs 20",
    ),
    "repeat": Verb(
        "command_repeat",
        "make an image again from the recipe stored in its file, or a variation of it",
        "inputopt repeat out/dream.png",
    ),
    "reproduce": Verb(
        "command_reproduce",
        "train the document's networks and compare every printed figure",
        "inputopt reproduce --method backprop",
    ),
    "gradcheck": Verb(
        "command_gradcheck",
        "compare the differentiation methods on a random network, in float64",
        "inputopt gradcheck --sizes 4,5,3 --activation tanh",
    ),
    "explain": Verb(
        "command_explain",
        "print the calculation of one training step with its numbers, and draw the network with them",
        "inputopt explain --example 1",
    ),
    "app": Verb(
        "command_app",
        "serve the playground in the browser: train a small network, fool one, dream on a photo",
        "inputopt app --port 7860",
    ),
    "demo": Verb(
        "command_demo",
        "show the main functions of the library on one page",
        "inputopt demo --out out",
    ),
    "completion": Verb(
        "command_completion",
        "print a script that completes verbs and flags in bash, zsh or fish",
        "inputopt completion bash",
    ),
}

STATUS = "exit status: 0 success, 1 something was not found, does not match or is too low, 2 an error, 130 Ctrl-C"


def add_verb(commands: Any, name: str) -> argparse.ArgumentParser:
    """Add a verb's parser, with its summary and example; the module adds arguments and `set_defaults(run=...)`."""
    verb = VERBS[name]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=verb.summary,
        description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
        epilog=f"example:\n  {verb.example}\n\n{STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_common(command: argparse.ArgumentParser, out: str | None = None) -> None:
    """Add the flags of every verb: --seed, --device, --out, --json and --quiet.

    Args:
        command: the verb's parser.
        out: default folder; None for verbs that write files only if --out is given.
    """
    command.set_defaults(writes_values=out is None)
    group = command.add_argument_group("common")
    group.add_argument("--seed", type=seed, default=0, help="random seed (%(default)s)")
    group.add_argument("--device", help="device of the computation, such as cpu or cuda:0 (that of the model)")
    default = "nowhere" if out is None else out
    group.add_argument("--out", default=out, help=f"folder that files are written to ({default})")
    group.add_argument("--json", action="store_true", help="print the results as JSON")
    group.add_argument("--quiet", action="store_true", help="no progress bars, and no lines about written files")
