"""The public names of inputopt.search; the package loads each at first use."""

from inputopt.search.canvases.canvas import Canvas, pixels
from inputopt.search.goals import Goal, confident, confidently_wrong, is_class, never, reached, unrecognised, wrong
from inputopt.search.inputs import check_problem
from inputopt.search.loop import Interrupted, Snapshot, Watch, at_the_end, by_distance, by_loss, on_success, optimise
from inputopt.search.norms import L0, L1, L2, LINF, NORMS, Norm, find_norm
from inputopt.search.objectives.dlr import dlr
from inputopt.search.objectives.logits import attack_cross_entropy, cross_entropy, logit_difference, margin
from inputopt.search.objectives.objective import Objective
from inputopt.search.oracles import Autograd, Oracle, Vjp
from inputopt.search.problem import Evaluation, Problem, Region
from inputopt.search.projections import Box, Project, ball, in_box
from inputopt.search.query_counter import QueryCounter
from inputopt.search.result import Result
from inputopt.search.rows import per_example
from inputopt.search.steps.directions import Direction, adam, ascent, chain, sign, steepest, unit
from inputopt.search.steps.step import GradientStep, HalfCosine, Step
from inputopt.search.transforms import Transform, unchanged

__all__ = [
    "L0",
    "L1",
    "L2",
    "LINF",
    "NORMS",
    "Autograd",
    "Box",
    "Canvas",
    "Direction",
    "Evaluation",
    "Goal",
    "GradientStep",
    "HalfCosine",
    "Interrupted",
    "Norm",
    "Objective",
    "Oracle",
    "Problem",
    "Project",
    "QueryCounter",
    "Region",
    "Result",
    "Snapshot",
    "Step",
    "Transform",
    "Vjp",
    "Watch",
    "adam",
    "ascent",
    "at_the_end",
    "attack_cross_entropy",
    "ball",
    "by_distance",
    "by_loss",
    "chain",
    "check_problem",
    "confident",
    "confidently_wrong",
    "cross_entropy",
    "dlr",
    "find_norm",
    "in_box",
    "is_class",
    "logit_difference",
    "margin",
    "never",
    "on_success",
    "optimise",
    "per_example",
    "pixels",
    "reached",
    "sign",
    "steepest",
    "unchanged",
    "unit",
    "unrecognised",
    "wrong",
]
