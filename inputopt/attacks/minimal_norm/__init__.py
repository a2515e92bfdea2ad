"""Minimal-norm attacks: how little must change before the network errs?"""

from inputopt.attacks.minimal_norm.alma import ALMA
from inputopt.attacks.minimal_norm.carlini_wagner import CarliniWagner
from inputopt.attacks.minimal_norm.ddn import DDN
from inputopt.attacks.minimal_norm.deepfool import DeepFool
from inputopt.attacks.minimal_norm.ead import EAD
from inputopt.attacks.minimal_norm.epsilon_bisection import EpsilonBisection
from inputopt.attacks.minimal_norm.fab import FAB, TargetedFAB
from inputopt.attacks.minimal_norm.fmn import FMN
from inputopt.attacks.minimal_norm.jsma import JSMA
from inputopt.attacks.minimal_norm.pdpgd import PDGD, PDPGD
from inputopt.attacks.minimal_norm.portfolio import MinimalNorm
from inputopt.attacks.minimal_norm.sigma_zero import SigmaZero
from inputopt.attacks.minimal_norm.superdeepfool import SuperDeepFool
from inputopt.attacks.minimal_norm.trust_region import TrustRegion

__all__ = [
    "ALMA",
    "DDN",
    "EAD",
    "FAB",
    "FMN",
    "JSMA",
    "PDGD",
    "PDPGD",
    "CarliniWagner",
    "DeepFool",
    "EpsilonBisection",
    "MinimalNorm",
    "SigmaZero",
    "SuperDeepFool",
    "TargetedFAB",
    "TrustRegion",
]
