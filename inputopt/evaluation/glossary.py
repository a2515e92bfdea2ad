"""One sentence and the source for every attack, and for every stage of an evaluation protocol."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from inputopt.attacks.attack import Attack
from inputopt.attacks.multi_targeted import MultiTargeted, Round


@dataclass(frozen=True)
class Explanation:
    """What an attack does.

    Attributes:
        sentence: the method, without a full stop.
        source: authors and year of the paper; empty for attacks that were made here.
    """

    sentence: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} ({self.source})" if self.source else self.sentence


ATTACK_GLOSSARY = {
    "ALMA": Explanation(
        "augmented Lagrangian method, which minimises the distance under the constraint of a wrong class",
        "Rony et al., 2021",
    ),
    "APGD": Explanation(
        "PGD whose step size is halved where the loss stops rising, going on from the best point",
        "Croce and Hein, 2020",
    ),
    "BIM": Explanation("repeated small steps along the sign of the gradient, from the input", "Kurakin et al., 2017"),
    "CarliniWagner": Explanation(
        "Adam on the squared L2 distance plus a weighted margin, with a binary search of the weight",
        "Carlini and Wagner, 2017",
    ),
    "DDN": Explanation(
        "normalised gradient steps on a sphere that shrinks after a success and grows after a failure",
        "Rony et al., 2019",
    ),
    "DecisionSearch": Explanation(
        "walk along the decision boundary whose normal is estimated from predicted classes, kept if it ends within eps",
        "Chen et al., 2020",
    ),
    "DeepFool": Explanation("steps to the nearest boundary of the linearised network", "Moosavi-Dezfooli et al., 2016"),
    "EAD": Explanation(
        "Carlini and Wagner's loss with an elastic-net distance, L1 and L2, by iterative shrinkage", "Chen et al., 2018"
    ),
    "EpsilonBisection": Explanation("an attack at a fixed distance, repeated with a bisection on that distance"),
    "FAB": Explanation(
        "projections onto the linearised boundary, with steps back towards the input", "Croce and Hein, 2020"
    ),
    "FGSM": Explanation("a single step along the sign of the gradient", "Goodfellow et al., 2015"),
    "FMN": Explanation(
        "gradient steps in a ball whose radius follows the estimated distance of the boundary", "Pintor et al., 2021"
    ),
    "HopSkipJump": Explanation(
        "walk along the decision boundary whose normal is estimated from predicted classes; it uses no gradient",
        "Chen et al., 2020",
    ),
    "JSMA": Explanation(
        "changes the pair of elements with the highest saliency, one pair after another", "Papernot et al., 2016"
    ),
    "MIFGSM": Explanation("BIM with momentum on the normalised gradients", "Dong et al., 2018"),
    "MinimalNorm": Explanation("several minimal-norm searches in turn, within one budget of queries"),
    "MultiTargeted": Explanation(
        "PGD towards several classes, with more steps for those that come closest", "after Croce and Hein, 2020"
    ),
    "NIFGSM": Explanation("MI-FGSM with the gradient taken one step ahead, as by Nesterov", "Lin et al., 2020"),
    "PDGD": Explanation("primal-dual gradient descent on the L2 distance", "Matyasko and Chau, 2021"),
    "PDPGD": Explanation(
        "primal-dual descent with a proximal step of the norm, which keeps changes sparse in L0 and L1",
        "Matyasko and Chau, 2021",
    ),
    "PGD": Explanation(
        "projected gradient descent, steps that raise the loss from random starts in the ball", "Madry et al., 2018"
    ),
    "SigmaZero": Explanation(
        "gradient descent on the margin plus a smooth approximation of the number of changed elements",
        "Cina et al., 2025",
    ),
    "SparseRS": Explanation(
        "random search over the set of changed elements; it uses no gradient", "Croce et al., 2022"
    ),
    "Square": Explanation(
        "random search with square patches; it uses no gradient, so masked gradients do not stop it",
        "Andriushchenko et al., 2020",
    ),
    "SuperDeepFool": Explanation(
        "DeepFool, with perturbations made orthogonal to the boundary", "Abdollahpoorrostami et al., 2024"
    ),
    "TargetedAPGD": Explanation(
        "APGD on the targeted DLR loss, towards one likely class after another", "Croce and Hein, 2020"
    ),
    "TargetedFAB": Explanation("FAB towards one likely class after another", "Croce and Hein, 2020"),
    "TrustRegion": Explanation(
        "steps to the boundary whose length is limited to where the network is almost linear", "Yao et al., 2019"
    ),
}
"""By class name, for every attack of `inputopt.attacks`."""


def explain_attack(attack: Attack) -> Explanation:
    """What an attack does, with the rounds of `MultiTargeted`; or the docstring's first line without an entry."""
    name = type(attack).__name__
    if name not in ATTACK_GLOSSARY:
        return Explanation((inspect.getdoc(type(attack)) or name).splitlines()[0].rstrip("."))
    if not isinstance(attack, MultiTargeted):
        return ATTACK_GLOSSARY[name]
    widened = any(part.enlarged_radii for part in attack.rounds)
    sources = "after Croce and Hein, 2020" + (" and 2021" if widened else "")
    return Explanation("PGD towards " + ", then ".join(map(_round, attack.rounds)), sources)


def _round(part: Round) -> str:
    """One round of `MultiTargeted` in words."""
    classes = "the likeliest wrong class" if part.targets == 1 else f"the {part.targets} likeliest wrong classes"
    ball = ""
    if part.enlarged_radii:
        ball = f" from a ball of {' then '.join(f'{radius:g}' for radius in part.enlarged_radii)} eps down to eps"
    return f"{classes}, {part.steps} steps{' of adaptive size' * part.adaptive}{ball}"
