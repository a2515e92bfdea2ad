"""Gradient-free fooling images (Nguyen, Yosinski and Clune, 2015): MAP-Elites with the best image of each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.images import thumbnail
from inputopt.nets.class_probabilities import log_probabilities, probabilities
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.canvas_choice import InRange, PictureCanvas
from inputopt.pictures.fitted_cppn import FittedCPPN
from inputopt.pictures.picture import Picture
from inputopt.pictures.provenance import Kind, repeatable
from inputopt.search import keyed_random
from inputopt.search.bounds import Range, picture_range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.cppn import CPPN
from inputopt.search.loop import Interrupted
from inputopt.search.network_traits import count_classes
from inputopt.search.problem import Problem
from inputopt.summaries import Summarised, Summary

Progress = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Elites:
    """The best genome of each class so far, [n, P], and the class's log-probability for its image, `beliefs` [n]."""

    genomes: Tensor
    beliefs: Tensor
    generation: int = 0


@dataclass(frozen=True)
class MapElites:
    """MAP-Elites (Mouret and Clune, 2015) with one cell per class; `ask` and `tell` are pure functions.

    The parent of a child is the elite of a target class that is not reached yet or, for diversity, of any class
    (Nguyen, Yosinski and Clune, 2015: images of one class often evolve from those of another). Some children move along
    the line to another elite (directional variation; Vassiliades and Mouret, 2018); all mutate, with standard
    deviations from `spread` down to a hundredth of it.

    Attributes:
        population: number of children per generation.
        wander: fraction of children whose parent is the elite of any class.
        mixing: fraction of children that move along the line to the elite of any class.
        reach: largest standard deviation of these moves, relative to the distance between the elites; the smallest is a
            tenth of it.
        mutation: largest fraction of genes that mutate.
        spread: largest standard deviation of mutations.
        seed: seed of all random numbers.
    """

    population: int = 64
    wander: float = 0.25
    mixing: float = 0.5
    reach: float = 0.5
    mutation: float = 1.0
    spread: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        checks.whole("population", self.population)
        for what in ("wander", "mixing", "mutation"):
            if not 0 <= getattr(self, what) <= 1:
                raise ValueError(f"{what} must be a fraction between 0 and 1, not {getattr(self, what)}.")
        for what in ("reach", "spread"):
            checks.positive(what, getattr(self, what))

    def ask(self, elites: Elites, wanted: Tensor) -> Tensor:
        """The genomes of the next generation, [population, P], for the target classes `wanted`, int64 [m]."""
        ids = torch.arange(self.population, device=wanted.device)
        genes = elites.genomes.shape[1]
        drawn = keyed_random.uniform((7,), self.seed, ids, 3 * elites.generation).to(elites.genomes.device)
        filled = torch.isfinite(elites.beliefs).nonzero()[:, 0]
        aimed, other = (
            pool[(draw * len(pool)).long()] for pool, draw in ((wanted, drawn[:, 0]), (filled, drawn[:, 1]))
        )
        parents = elites.genomes[torch.where(drawn[:, 2] < self.wander, other, aimed)]
        others = elites.genomes[filled[(drawn[:, 3] * len(filled)).long()]]
        line_step = (drawn[:, 4:5] < self.mixing) * self.reach * 10 ** -drawn[:, 6:7]
        line_step = line_step * keyed_random.normal((1,), self.seed + 2, ids, elites.generation).to(line_step)
        share = self.mutation * 10 ** (-1.5 * drawn[:, 5:6])  # log-uniform: sparse mutations as often as dense
        size = self.spread * 10 ** (-2 * keyed_random.uniform((1,), self.seed + 1, ids, elites.generation))
        mutates = keyed_random.uniform((genes,), self.seed, ids, 3 * elites.generation + 1).to(share) < share
        step = size * keyed_random.normal((genes,), self.seed, ids, 3 * elites.generation + 2)
        return parents + (line_step * (others - parents)).to(parents) + step.to(parents) * mutates

    def tell(self, elites: Elites, genomes: Tensor, beliefs: Tensor) -> Elites:
        """The elites after a generation, given the children's log-probabilities of all classes, [population, n]."""
        best, child = beliefs.max(0)
        better = best > elites.beliefs
        return Elites(
            torch.where(better[:, None], genomes[child], elites.genomes),
            torch.where(better, best, elites.beliefs),
            elites.generation + 1,
        )


@dataclass(frozen=True, repr=False)
class EvolvedImages(Summarised):
    """The result of `evolve_images` for n target classes.

    Attributes:
        pictures: the best picture of each target.
        probability: probability of the target for its picture, [n].
        success: whether the probability is at least the requested confidence, bool [n].
        generations: number of generations run.
        forwards: number of images that the model was run on.
    """

    pictures: list[Picture]
    probability: Tensor
    success: Tensor
    generations: int
    forwards: int

    @property
    def x(self) -> Tensor:
        """All pictures, [n, C, H, W]."""
        return torch.stack([picture.x for picture in self.pictures])

    def _summary(self, images: bool) -> Summary:
        facts = [
            ("", f"{int(self.success.sum())} of {len(self.pictures)} targets reached"),
            ("median probability", f"{float(self.probability.double().median()):.3f}"),
            ("", f"{self.generations:,} generations"),
            ("", f"{self.forwards:,} forwards"),
        ]
        pictures = zip(self.pictures, self.probability.tolist(), strict=True) if images else ()
        shown = [(thumbnail(picture.x, picture.bounds), f"probability {each:.3f}") for picture, each in pictures]
        return Summary("EvolvedImages", facts, images=shown)


TARGETS = Kind(lambda targets: [int(target) for target in targets], lambda targets: targets)
RULES = Kind(asdict, lambda settings: MapElites(**settings))


@repeatable(targets=TARGETS, rules=RULES)
def evolve_images(
    model: Frozen | nn.Module | Callable[[Tensor], Tensor],
    targets: Sequence[int],
    shape: Sequence[int],
    generations: int = 1_000,
    seed: int = 0,
    *,
    confidence: float = 0.9,
    rules: MapElites | None = None,
    hidden: int = 12,
    depth: int = 3,
    progress: Progress | None = None,
) -> EvolvedImages:
    """Evolve fooling images of target classes without gradients (Nguyen, Yosinski and Clune, 2015).

    The genomes are the weights of CPPNs; each generation is evaluated in one batch.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        targets: the target classes.
        shape: shape of an image, (C, H, W).
        generations: maximum number of generations; the evolution ends earlier if every target is reached.
        seed: seed of all random numbers.
        confidence: probability at which a target counts as reached.
        rules: settings of MAP-Elites; the defaults with this seed if not given.
        hidden, depth: units per layer and hidden layers of the pattern-producing networks; hidden is at least 3.
        progress: called with each generation's number and the targets' probabilities so far, [n].

    Raises:
        ValueError, TypeError: invalid targets, shape or settings.
        Interrupted: on Ctrl-C after the first generation; it holds the best result so far.
    """
    net = frozen(model)
    seed = checks.seed(seed)
    checks.whole("generations", generations)
    checks.probability("confidence", confidence)
    if len(shape) != 3:
        raise ValueError(f"shape must be (C, H, W), not {tuple(shape)}.")
    channels, height, width = (checks.whole("each number of shape", size) for size in shape)
    checks.whole("hidden", hidden, least=3)
    checks.whole("depth", depth)
    requested = [checks.whole("targets", target, least=0) for target in targets]
    if not requested:
        raise ValueError("targets must contain at least one class.")
    sizes = (channels, height, width)
    within = picture_range(net, sizes)
    plain = FittedCPPN(CPPN(sizes, Squash(0, 1), hidden, depth))
    canvas = plain if within.is_unit else InRange(plain, within)
    rules = rules or MapElites(seed=seed)
    with torch.no_grad():
        genomes = canvas.start(seed, torch.arange(rules.population, device=net.device)).to(net.dtype)
        classes = count_classes(net, _decoded(canvas, genomes[:1]))
        goals = checks.classes("targets", torch.tensor(requested, device=net.device), classes)
        elites = Elites(genomes.new_zeros(classes, genomes.shape[1]), genomes.new_full((classes,), -torch.inf))
        try:
            for _ in range(generations):
                elites = rules.tell(elites, genomes, _log_probabilities(net(_decoded(canvas, genomes))))
                reached = elites.beliefs[goals] >= math.log(confidence)
                if progress is not None:
                    progress(elites.generation, elites.beliefs[goals].exp())
                if bool(reached.all()):
                    break
                genomes = rules.ask(elites, goals[~reached])
        except KeyboardInterrupt as stopped:
            if not elites.generation:
                raise
            raise Interrupted(_evaluated(net, canvas, within, elites, goals, confidence, rules)) from stopped
        return _evaluated(net, canvas, within, elites, goals, confidence, rules)


def _log_probabilities(logits: Tensor) -> Tensor:
    """Log-probabilities [B, n] of logits; -inf for images whose logits are NaN or plus infinity.

    Raises:
        ValueError: that is the case for every image.
    """
    found = log_probabilities(logits)
    invalid = found.isnan().any(1)
    if bool(invalid.all()):
        raise ValueError("The model's logits are NaN or infinite for every image; check its bounds, mean and std.")
    return found.masked_fill(invalid[:, None], -torch.inf)


def _evaluated(
    net: Frozen,
    canvas: PictureCanvas,
    within: Range,
    elites: Elites,
    goals: Tensor,
    confidence: float,
    rules: MapElites,
) -> EvolvedImages:
    """Evaluate the elites of the classes `goals`."""
    x = within.clamp(_decoded(canvas, elites.genomes[goals]))
    probability = probabilities(net(x)).gather(1, goals[:, None])[:, 0]
    pictures = [Picture(image.clone(), {"picture": number}, net.bounds) for number, image in enumerate(x)]
    return EvolvedImages(
        pictures, probability, probability >= confidence, elites.generation, elites.generation * rules.population
    )


def _decoded(canvas: PictureCanvas, genomes: Tensor) -> Tensor:
    ids = torch.arange(len(genomes), device=genomes.device)
    return canvas(genomes, Problem(genomes, ids, ids))
