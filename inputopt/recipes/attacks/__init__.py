"""Attacks at a fixed distance: how many inputs are fooled? And minimal-norm attacks: how little is enough?"""

from inputopt.recipes.attacks.apgd import APGD, TargetedAPGD
from inputopt.recipes.attacks.boundaries import FAB, JSMA, DeepFool, SuperDeepFool, TargetedFAB, TrustRegion
from inputopt.recipes.attacks.descents import ALMA, DDN, FMN, PDGD, PDPGD, SigmaZero
from inputopt.recipes.attacks.minimal import Minimal
from inputopt.recipes.attacks.minimal_norm import MinimalNorm
from inputopt.recipes.attacks.penalties import EAD, CarliniWagner
from inputopt.recipes.attacks.pgd import BIM, FGSM, MIFGSM, NIFGSM, PGD
from inputopt.recipes.attacks.square import Square
from inputopt.recipes.attacks.tournament import Round, Tournament

__all__ = [
    "ALMA",
    "APGD",
    "BIM",
    "DDN",
    "EAD",
    "FAB",
    "FGSM",
    "FMN",
    "JSMA",
    "MIFGSM",
    "NIFGSM",
    "PDGD",
    "PDPGD",
    "PGD",
    "CarliniWagner",
    "DeepFool",
    "Minimal",
    "MinimalNorm",
    "Round",
    "SigmaZero",
    "Square",
    "SuperDeepFool",
    "TargetedAPGD",
    "TargetedFAB",
    "Tournament",
    "TrustRegion",
]
