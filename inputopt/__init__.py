"""Train a network with checked gradients, then hold its weights still and move the input."""

from inputopt.derivatives.record import Gradients
from inputopt.derivatives.ways import gradients
from inputopt.evaluation.curve import RobustnessCurve, robustness_curve
from inputopt.evaluation.evaluate import evaluate
from inputopt.evaluation.report import Report
from inputopt.files import FileError
from inputopt.nets.frozen import Frozen
from inputopt.nets.mlp import MLP
from inputopt.nets.store import save
from inputopt.recipes import attacks
from inputopt.recipes.pictures.ascend import ascend
from inputopt.recipes.pictures.dream import dream
from inputopt.recipes.pictures.fool import fool
from inputopt.recipes.pictures.picture import Picture
from inputopt.search.problem import Result
from inputopt.training.genetic import Evolution, Genetic, evolve
from inputopt.training.history import History
from inputopt.training.train import DivergenceWarning, train
from inputopt.zoo.library import load

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "DivergenceWarning",
    "Evolution",
    "FileError",
    "Frozen",
    "Genetic",
    "Gradients",
    "History",
    "Picture",
    "Report",
    "Result",
    "RobustnessCurve",
    "ascend",
    "attacks",
    "dream",
    "evaluate",
    "evolve",
    "fool",
    "gradients",
    "load",
    "robustness_curve",
    "save",
    "train",
]
