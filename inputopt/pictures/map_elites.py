"""Fooling without a derivative: images evolve, and each class keeps the best that was ever found for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from inputopt import checks
from inputopt.nets.frozen import Frozen, frozen
from inputopt.pictures.canvas_choice import InRange, PictureCanvas
from inputopt.pictures.picture import Picture
from inputopt.pictures.provenance import Kind, repeatable
from inputopt.search import keyed_random
from inputopt.search.bounds import Range, picture_range
from inputopt.search.canvases.colours import Squash
from inputopt.search.canvases.cppn import CPPN
from inputopt.search.loop import Interrupted
from inputopt.search.network_traits import count_classes
from inputopt.search.problem import Problem

Progress = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class Elites:
    """The best genome of each class, [n, P], and how sure the network is of it there, its log-probability [n]."""

    genomes: Tensor
    beliefs: Tensor
    generation: int = 0


@dataclass(frozen=True)
class MapElites:
    """Multi-dimensional archive of elites (Mouret and Clune, 2015), a cell a class; `ask` and `tell` are pure.

    A child comes from the elite of a class that is still wanted or, to keep stepping stones, from that of any class
    (Nguyen, Yosinski and Clune, 2015: an image is often found on the way to another). Some children move along the
    line to another elite (Vassiliades and Mouret, 2018: what the elites differ in is what matters); all mutate, by
    sizes from `spread` down to a hundredth of it.

    Attributes:
        population: children in a generation.
        wander: the share whose parent is the elite of any class.
        mixing: the share that moves along the line to the elite of any other class.
        reach: the standard deviation of the largest moves along it, in parts of the way; the least are a tenth.
        mutation: the largest share of genes that mutate.
        spread: the standard deviation of the largest mutations.
        seed: what all chance is drawn from.
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
                raise ValueError(f"{what} must be a share between 0 and 1, not {getattr(self, what)}.")
        for what in ("reach", "spread"):
            checks.positive(what, getattr(self, what))

    def ask(self, elites: Elites, wanted: Tensor) -> Tensor:
        """The next generation, [population, P], towards the classes `wanted`, int64 [m]."""
        ids = torch.arange(self.population, device=wanted.device)
        genes = elites.genomes.shape[1]
        drawn = keyed_random.uniform((7,), self.seed, ids, 3 * elites.generation).to(elites.genomes.device)
        known = torch.isfinite(elites.beliefs).nonzero()[:, 0]
        aim, anyone = (pool[(draw * len(pool)).long()] for pool, draw in ((wanted, drawn[:, 0]), (known, drawn[:, 1])))
        parents = elites.genomes[torch.where(drawn[:, 2] < self.wander, anyone, aim)]
        others = elites.genomes[known[(drawn[:, 3] * len(known)).long()]]
        along = (drawn[:, 4:5] < self.mixing) * self.reach * 10 ** -drawn[:, 6:7]
        along = along * keyed_random.normal((1,), self.seed + 2, ids, elites.generation).to(along)
        share = self.mutation * 10 ** (-1.5 * drawn[:, 5:6])  # a few genes far as often as all of them a little
        size = self.spread * 10 ** (-2 * keyed_random.uniform((1,), self.seed + 1, ids, elites.generation))
        mutates = keyed_random.uniform((genes,), self.seed, ids, 3 * elites.generation + 1).to(share) < share
        step = size * keyed_random.normal((genes,), self.seed, ids, 3 * elites.generation + 2)
        return parents + (along * (others - parents)).to(parents) + step.to(parents) * mutates

    def tell(self, elites: Elites, genomes: Tensor, beliefs: Tensor) -> Elites:
        """The elites after a generation, given each child's log-probability of each class, [population, n]."""
        best, child = beliefs.max(0)
        better = best > elites.beliefs
        return Elites(
            torch.where(better[:, None], genomes[child], elites.genomes),
            torch.where(better, best, elites.beliefs),
            elites.generation + 1,
        )


@dataclass(frozen=True)
class EvolvedImages:
    """What an evolution found.

    Attributes:
        pictures: the best of each target.
        probability: what the network gives the target for it, [n].
        success: whether that is the confidence asked for, bool [n].
        generations: how many there were.
        forwards: how many images the network was shown.
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
    """Evolve images that the network takes for classes, by its answers alone (Nguyen, Yosinski and Clune, 2015).

    The genomes are the weights of small pattern-producing networks; a whole generation is shown in one batch.

    Args:
        model: a network, frozen or not; if not, its inputs are taken to lie in [0, 1].
        targets: the classes to reach.
        shape: of an image, (C, H, W).
        generations: how many at most; it ends when every target is reached.
        seed: what all chance is drawn from.
        confidence: the probability at which a target is reached.
        rules: how to reproduce; the defaults with this seed if not given.
        hidden, depth: of the pattern-producing networks, as for `CPPN`; hidden is at least 3.
        progress: shown each generation's number and the targets' probabilities so far, [n].

    Raises:
        ValueError, TypeError: targets, a shape or numbers that make no sense.
        Interrupted: by Ctrl-C, after the first generation; it holds the best so far.
    """
    net = frozen(model)
    seed = checks.seed(seed)
    checks.whole("generations", generations)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be a probability between 0 and 1, not {confidence}.")
    if len(shape) != 3:
        raise ValueError(f"shape must be (C, H, W), not {tuple(shape)}.")
    channels, height, width = (checks.whole("each number of shape", size) for size in shape)
    checks.whole("hidden", hidden, least=3)
    checks.whole("depth", depth)
    numbers = [checks.whole("targets", target, least=0) for target in targets]
    if not numbers:
        raise ValueError("targets must name at least one class.")
    image = (channels, height, width)
    within = picture_range(net, image)
    plain = CPPN(image, Squash(0, 1), hidden, depth)
    canvas = plain if within.is_unit else InRange(plain, within)
    rules = rules or MapElites(seed=seed)
    with torch.no_grad():
        genomes = canvas.start(seed, torch.arange(rules.population, device=net.device)).to(net.dtype)
        classes = count_classes(net, _shown(canvas, genomes[:1]))
        goals = checks.classes("targets", torch.tensor(numbers, device=net.device), classes)
        elites = Elites(genomes.new_zeros(classes, genomes.shape[1]), genomes.new_full((classes,), -torch.inf))
        try:
            for _ in range(generations):
                elites = rules.tell(elites, genomes, _beliefs(net(_shown(canvas, genomes))))
                reached = elites.beliefs[goals] >= math.log(confidence)
                if progress is not None:
                    progress(elites.generation, elites.beliefs[goals].exp())
                if bool(reached.all()):
                    break
                genomes = rules.ask(elites, goals[~reached])
        except KeyboardInterrupt as stopped:
            if not elites.generation:
                raise
            raise Interrupted(_judged(net, canvas, within, elites, goals, confidence, rules)) from stopped
        return _judged(net, canvas, within, elites, goals, confidence, rules)


def _beliefs(logits: Tensor) -> Tensor:
    """Log-probabilities [B, n] of logits; an image whose logits are NaN or infinitely high speaks for no class.

    Raises:
        ValueError: there is no other image.
    """
    found = logits.log_softmax(1)
    unknown = found.isnan().any(1)
    if bool(unknown.all()):
        raise ValueError("The model's logits are NaN or infinite for every image; check what its inputs should be.")
    return found.masked_fill(unknown[:, None], -torch.inf)


def _judged(
    net: Frozen,
    canvas: PictureCanvas,
    within: Range,
    elites: Elites,
    goals: Tensor,
    confidence: float,
    rules: MapElites,
) -> EvolvedImages:
    """What the network says of the elites of `goals`."""
    x = within.clamp(_shown(canvas, elites.genomes[goals]))
    sure = net(x).softmax(1).gather(1, goals[:, None])[:, 0]
    pictures = [Picture(image.clone(), {"picture": number}, net.bounds) for number, image in enumerate(x)]
    return EvolvedImages(pictures, sure, sure >= confidence, elites.generation, elites.generation * rules.population)


def _shown(canvas: PictureCanvas, genomes: Tensor) -> Tensor:
    ids = torch.arange(len(genomes), device=genomes.device)
    return canvas(genomes, Problem(genomes, ids, ids))
