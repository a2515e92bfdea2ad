"""The public names of inputopt.attacks; the package loads each at first use."""

from inputopt.attacks.apgd import APGD
from inputopt.attacks.apgd_targeted import TargetedAPGD
from inputopt.attacks.bim import BIM
from inputopt.attacks.decisions import Decisions
from inputopt.attacks.fgsm import FGSM
from inputopt.attacks.mi_fgsm import MIFGSM
from inputopt.attacks.minimal_norm.alma import ALMA
from inputopt.attacks.minimal_norm.carlini_wagner import CarliniWagner
from inputopt.attacks.minimal_norm.ddn import DDN
from inputopt.attacks.minimal_norm.deepfool import DeepFool
from inputopt.attacks.minimal_norm.ead import EAD
from inputopt.attacks.minimal_norm.epsilon_bisection import EpsilonBisection
from inputopt.attacks.minimal_norm.fab import FAB, TargetedFAB
from inputopt.attacks.minimal_norm.fmn import FMN
from inputopt.attacks.minimal_norm.hop_skip_jump import HopSkipJump
from inputopt.attacks.minimal_norm.jsma import JSMA
from inputopt.attacks.minimal_norm.pdpgd import PDGD, PDPGD
from inputopt.attacks.minimal_norm.portfolio import MinimalNorm
from inputopt.attacks.minimal_norm.sigma_zero import SigmaZero
from inputopt.attacks.minimal_norm.superdeepfool import SuperDeepFool
from inputopt.attacks.minimal_norm.trust_region import TrustRegion
from inputopt.attacks.multi_targeted import MultiTargeted, Round
from inputopt.attacks.ni_fgsm import NIFGSM
from inputopt.attacks.pgd import PGD
from inputopt.attacks.sparse_rs import SparseRS
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
    "Decisions",
    "DeepFool",
    "EpsilonBisection",
    "HopSkipJump",
    "MinimalNorm",
    "MultiTargeted",
    "Round",
    "SigmaZero",
    "SparseRS",
    "Square",
    "SuperDeepFool",
    "TargetedAPGD",
    "TargetedFAB",
    "TrustRegion",
]
