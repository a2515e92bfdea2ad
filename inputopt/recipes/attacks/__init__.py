"""Attacks at a fixed distance: how many inputs can be fooled within eps?"""

from inputopt.recipes.attacks.apgd import APGD, TargetedAPGD
from inputopt.recipes.attacks.pgd import BIM, FGSM, MIFGSM, NIFGSM, PGD
from inputopt.recipes.attacks.square import Square
from inputopt.recipes.attacks.tournament import Round, Tournament

__all__ = ["APGD", "BIM", "FGSM", "MIFGSM", "NIFGSM", "PGD", "Round", "Square", "TargetedAPGD", "Tournament"]
