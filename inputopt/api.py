"""The public names of inputopt; the package loads each at first use."""

from inputopt import attacks
from inputopt.attacks.attackbench import as_attackbench
from inputopt.attribution.class_means import average
from inputopt.attribution.saliency import saliency
from inputopt.attribution.spurious import spurious
from inputopt.bounds.certify import Certificate, certify
from inputopt.bounds.smoothing import SmoothedCertificate, certify_smoothed
from inputopt.derivatives.explain import Explanation, explain
from inputopt.derivatives.gradcheck import gradcheck
from inputopt.derivatives.gradient_methods import gradients
from inputopt.derivatives.record import Gradients
from inputopt.evaluation.evaluate import evaluate
from inputopt.evaluation.report import Report
from inputopt.evaluation.robustness_curve import RobustnessCurve, compare_curves, robustness_curve
from inputopt.files import FileError
from inputopt.nets.class_names import class_name
from inputopt.nets.frozen import Frozen
from inputopt.nets.mlp import MLP
from inputopt.nets.model_errors import ModelError
from inputopt.nets.store import save
from inputopt.pictures.accentuate import accentuate
from inputopt.pictures.ascend import ascend
from inputopt.pictures.atlas import atlas
from inputopt.pictures.attribution_sheet import attribution_sheet
from inputopt.pictures.dream import dream
from inputopt.pictures.fool import fool
from inputopt.pictures.invert import invert
from inputopt.pictures.map_elites import evolve_images
from inputopt.pictures.objective_sheet import objective_sheet
from inputopt.pictures.picture import Picture, read_photo
from inputopt.pictures.sheet import pairs_sheet
from inputopt.pictures.visualize import visualize
from inputopt.pictures.zoom import zoom
from inputopt.progress import progress_bar
from inputopt.search.inputs import InputoptWarning
from inputopt.search.loop import Interrupted
from inputopt.search.objectives.features import Channel, Class, Direction, Layer, LogProbability, Neuron
from inputopt.search.objectives.matching import activation_distance, diversity, style_distance
from inputopt.search.objectives.total_variation import total_variation
from inputopt.search.result import Result
from inputopt.training.genetic import Evolution, Genetic, evolve
from inputopt.training.history import History
from inputopt.training.train import DivergenceWarning, train
from inputopt.zoo.imagenet_photo import imagenet_input
from inputopt.zoo.layer_shapes import layers
from inputopt.zoo.library import load
from inputopt.zoo.repeat import repeat

__all__ = [
    "MLP",
    "Certificate",
    "Channel",
    "Class",
    "Direction",
    "DivergenceWarning",
    "Evolution",
    "Explanation",
    "FileError",
    "Frozen",
    "Genetic",
    "Gradients",
    "History",
    "InputoptWarning",
    "Interrupted",
    "Layer",
    "LogProbability",
    "ModelError",
    "Neuron",
    "Picture",
    "Report",
    "Result",
    "RobustnessCurve",
    "SmoothedCertificate",
    "accentuate",
    "activation_distance",
    "as_attackbench",
    "ascend",
    "atlas",
    "attacks",
    "attribution_sheet",
    "average",
    "certify",
    "certify_smoothed",
    "class_name",
    "compare_curves",
    "diversity",
    "dream",
    "evaluate",
    "evolve",
    "evolve_images",
    "explain",
    "fool",
    "gradcheck",
    "gradients",
    "imagenet_input",
    "invert",
    "layers",
    "load",
    "objective_sheet",
    "pairs_sheet",
    "progress_bar",
    "read_photo",
    "repeat",
    "robustness_curve",
    "saliency",
    "save",
    "spurious",
    "style_distance",
    "total_variation",
    "train",
    "visualize",
    "zoom",
]
