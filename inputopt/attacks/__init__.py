"""Attacks at a fixed distance: how many inputs are fooled? And minimal-norm attacks: how little is enough?"""

from inputopt.attacks.apgd import APGD, TargetedAPGD
from inputopt.attacks.boundaries import FAB, JSMA, DeepFool, SuperDeepFool, TargetedFAB, TrustRegion
from inputopt.attacks.descents import ALMA, DDN, FMN, PDGD, PDPGD, SigmaZero
from inputopt.attacks.minimal import Minimal
from inputopt.attacks.minimal_norm import MinimalNorm
from inputopt.attacks.penalties import EAD, CarliniWagner
from inputopt.attacks.pgd import BIM, FGSM, MIFGSM, NIFGSM, PGD
from inputopt.attacks.square import Square
from inputopt.attacks.tournament import Round, Tournament

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
