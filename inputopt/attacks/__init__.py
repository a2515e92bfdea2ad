"""Attacks at a fixed distance: how many inputs are fooled? And minimal-norm attacks: how little is enough?"""

from inputopt.attacks.apgd import APGD
from inputopt.attacks.apgd_targeted import TargetedAPGD
from inputopt.attacks.bim import BIM
from inputopt.attacks.fgsm import FGSM
from inputopt.attacks.mi_fgsm import MIFGSM
from inputopt.attacks.minimal_norm import (
    ALMA,
    DDN,
    EAD,
    FAB,
    FMN,
    JSMA,
    PDGD,
    PDPGD,
    CarliniWagner,
    DeepFool,
    EpsilonBisection,
    MinimalNorm,
    SigmaZero,
    SuperDeepFool,
    TargetedFAB,
    TrustRegion,
)
from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.ni_fgsm import NIFGSM
from inputopt.attacks.pgd import PGD
from inputopt.attacks.square import Square

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
    "EpsilonBisection",
    "MinimalNorm",
    "MultiTargeted",
    "Round",
    "SigmaZero",
    "Square",
    "SuperDeepFool",
    "TargetedAPGD",
    "TargetedFAB",
    "TrustRegion",
]
