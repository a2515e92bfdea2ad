"""Minimal-norm attacks that go by where the boundary would be if the network were linear."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from inputopt import checks
from inputopt.attacks.nearest import Nearest, begun, nearest_try, only_in, onto_boundary
from inputopt.attacks.setting import Setting, goal_of
from inputopt.search.jacobian import NearestBoundary, linear_distances
from inputopt.search.loop import on_success
from inputopt.search.objectives import attack_cross_entropy, label_over_target, margin, others_first
from inputopt.search.problem import Problem, Result, take
from inputopt.search.steps.boundary import AdaptiveBoundaryStep, DeepFoolStep, TrustRegionStep
from inputopt.search.steps.saliency import SaliencyStep


@dataclass(frozen=True)
class DeepFool(Nearest):
    """DeepFool (Moosavi-Dezfooli et al., 2016), in L2 and Linf: to the nearest plane, until it is wrong.

    Attributes:
        steps: at most.
        classes: how many are looked at in each step, those of the highest logits; a backward each.
        overshoot: how much further it goes than the planes, 0.02 for 2 %.
    """

    steps: int = 50
    classes: int = 9
    overshoot: float = 0.02

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "DeepFool", ("l2", "linf"), "FAB")
        step = DeepFoolStep(setting.norm, checks.positive("overshoot", self.overshoot))
        oracle, steps = planes(setting, self.classes), checks.whole("steps", self.steps)
        return setting.run_nearest(oracle, step, begun(setting.problem), steps, stop=on_success)


@dataclass(frozen=True)
class SuperDeepFool(Nearest):
    """SuperDeepFool (Abdollahpoorrostami et al., 2024), in L2: DeepFool, turned square to the boundary after a success.

    It ends with a bisection between the input and the nearest success.

    Attributes:
        steps: how many, the bisection's not counted.
        classes, overshoot: as for `DeepFool`.
        halvings: steps of the bisection, a forward each.
    """

    steps: int = 50
    classes: int = 9
    overshoot: float = 0.02
    halvings: int = 10

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "SuperDeepFool", ("l2",), "FAB")
        step = DeepFoolStep(setting.norm, checks.positive("overshoot", self.overshoot), project_back=True)
        oracle, steps = planes(setting, self.classes), checks.whole("steps", self.steps)
        found = setting.run_nearest(oracle, step, begun(setting.problem), steps)
        return onto_boundary(setting, found, self.halvings)


@dataclass(frozen=True)
class FAB(Nearest):
    """Fast adaptive boundary (Croce and Hein, 2020), in L1, L2 and Linf.

    Attributes:
        steps: how many.
        classes: as for `DeepFool`.
    """

    norm: str = "linf"
    steps: int = 100
    classes: int = 9

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "FAB", ("l1", "l2", "linf"), "SigmaZero")
        oracle, steps = planes(setting, self.classes), checks.whole("steps", self.steps)
        return setting.run_nearest(oracle, AdaptiveBoundaryStep(setting.norm), begun(setting.problem), steps)


@dataclass(frozen=True)
class TargetedFAB(Nearest):
    """FAB towards one class at a time, all classes in one batch (Croce and Hein, 2020): a backward a step and class.

    Attributes:
        steps: how many for each class.
        classes: how many are tried, those of the highest logits.
    """

    norm: str = "linf"
    steps: int = 100
    classes: int = 9

    @property
    def tries(self) -> int:
        return checks.whole("classes", self.classes)

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "FAB", ("l1", "l2", "linf"), "SigmaZero")
        tries, count = towards_classes(setting, self.classes)
        step, steps = AdaptiveBoundaryStep(setting.norm), checks.whole("steps", self.steps)
        leave = setting.problem.target is None
        loss = label_over_target if leave else margin
        found = nearest_try(setting.run_nearest(loss, step, begun(tries), steps, tries, leave=leave), count)
        return replace(found, forwards=found.forwards + leave)


@dataclass(frozen=True)
class TrustRegion(Nearest):
    """Trust region attack (Yao et al., 2019), in L2 and Linf: small steps towards the class that was nearest at first.

    Attributes:
        steps: at most.
        classes: how many are looked at before the first step.
        radius: the longest step, in parts of the distance that it seems to have to go at first.
        halvings: as for `SuperDeepFool`.
    """

    steps: int = 900
    classes: int = 9
    radius: float = 0.01
    halvings: int = 10

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "The trust region attack", ("l2", "linf"), "FAB")
        step = TrustRegionStep(setting.norm, checks.positive("radius", self.radius))
        steps, problem = checks.whole("steps", self.steps), setting.problem
        leave, looks = problem.target is None, 0
        if leave:
            problem, looks = towards_nearest(setting, self.classes)
        found = setting.run_nearest(
            label_over_target, step, begun(problem), steps, problem, leave=leave, stop=on_success
        )
        found = replace(found, forwards=found.forwards + leave, backwards=found.backwards + looks)
        return onto_boundary(setting, found, self.halvings)


@dataclass(frozen=True)
class JSMA(Nearest):
    """Jacobian-based saliency map attack (Papernot et al., 2016), in L0; untargeted as by Wiyatno and Xu (2018).

    Attributes:
        steps: at most.
        pixels: how many numbers move in a step.
    """

    norm: str = "l0"
    steps: int = 200
    pixels: int = 2

    def _search(self, setting: Setting) -> Result:
        only_in(setting, "JSMA", ("l0",), "FAB")
        step, steps = SaliencyStep(checks.whole("pixels", self.pixels)), checks.whole("steps", self.steps)
        start = begun(setting.problem)
        return setting.run_nearest(attack_cross_entropy, step, start, steps, stop=on_success)


def planes(setting: Setting, classes: int) -> NearestBoundary:
    """The oracle that looks at so many classes' boundaries; with a target at the target's alone."""
    problem, net = setting.problem, setting.net
    checks.whole("classes", classes)
    with torch.no_grad():
        others = net(problem.x0[:1]).shape[1] - 1
    count = 1 if problem.target is not None else min(classes, others)
    return NearestBoundary(
        net, goal_of(problem, False), setting.norm, count, setting.canvas, setting.attack.samples
    )  # fmt: skip


def towards_classes(setting: Setting, classes: int) -> tuple[Problem, int]:
    """Every example once for each of the classes with the highest logits, or for its target; and how often that is."""
    problem = setting.problem
    if problem.target is not None:
        return problem, 1
    with torch.no_grad():
        logits = setting.net(problem.x0)
    count = min(classes, logits.shape[1] - 1)
    rows = torch.arange(len(logits), device=logits.device).repeat(count)
    return replace(take(problem, rows), target=others_first(logits, problem.label, count).T.reshape(-1)), count


def towards_nearest(setting: Setting, count: int) -> tuple[Problem, int]:
    """Each example with the class whose boundary seems nearest as its target, and how many backwards that took."""
    classes, distance = linear_distances(setting.net, setting.problem, count, setting.norm)
    nearest = classes.gather(1, distance.argmin(1, keepdim=True))[:, 0]
    return replace(setting.problem, target=nearest), classes.shape[1]
