"""What the names of the attacks mean, one sentence each, with the paper."""

from __future__ import annotations

from collections.abc import Iterable

from inputopt import attacks

GLOSSARY = {
    "ALMA": "Augmented Lagrangian method for adversarial attacks: lowers the distance and the loss together, with a "
    "penalty that adapts to each input (Rony et al., 2021).",
    "APGD": "Auto-PGD: projected gradient descent that halves its steps by itself when the loss stops improving "
    "(Croce and Hein, 2020).",
    "BIM": "Basic iterative method: several small steps along the sign of the gradient (Kurakin et al., 2017).",
    "CarliniWagner": "Carlini and Wagner's attack: minimises the squared L2 distance plus a weighted loss (Carlini and "
    "Wagner, 2017).",
    "DDN": "Decoupled direction and norm: follows the gradient while the radius shrinks after each success and grows "
    "after each failure (Rony et al., 2019).",
    "DeepFool": "Steps to the nearest boundary of a linear approximation until the class changes (Moosavi-Dezfooli et "
    "al., 2016).",
    "EAD": "Elastic-net attack on deep networks: minimises a mix of L1 and L2 distance plus a weighted loss (Chen et "
    "al., 2018).",
    "EpsilonBisection": "Runs an attack of fixed distance at several distances and bisects to the smallest that works.",
    "FAB": "Fast adaptive boundary: walks along a linear approximation of the boundary, close to the input (Croce and "
    "Hein, 2020).",
    "FGSM": "Fast gradient sign method: one step along the gradient (Goodfellow et al., 2015).",
    "FMN": "Fast minimum norm: gradient steps in a ball that shrinks after each success (Pintor et al., 2021).",
    "JSMA": "Jacobian-based saliency map attack: changes the few elements that matter most (Papernot et al., 2016).",
    "MIFGSM": "Momentum iterative FGSM: steps along an accumulated gradient (Dong et al., 2018).",
    "MinimalNorm": "A portfolio of shrinking balls and bisections towards the nearest classes, within a budget of "
    "queries.",
    "MultiTargeted": "Projected gradient descent towards several other classes, each by its difference of logits; "
    "later rounds continue with the classes that came closest.",
    "NIFGSM": "Nesterov iterative FGSM: momentum, with the gradient taken one step ahead (Lin et al., 2020).",
    "PDGD": "Primal-dual gradient descent: alternates steps on the input and on the weight of its loss (Matyasko and "
    "Chau, 2021).",
    "PDPGD": "Primal-dual proximal gradient descent: as PDGD, with a proximal step for the norm (Matyasko and Chau, "
    "2021).",
    "PGD": "Projected gradient descent: many gradient steps from random points, each projected back into the ball "
    "(Madry et al., 2018).",
    "SigmaZero": "Minimises a smooth approximation of the number of changed elements (Cina et al., 2025).",
    "SparseRS": "Random search over the set of changed elements, without a gradient (Croce et al., 2022).",
    "Square": "Random search with square patches that needs no gradient: a change is kept if the loss falls "
    "(Andriushchenko et al., 2020).",
    "SuperDeepFool": "DeepFool with steps made orthogonal to the boundary (Abdollahpoorrostami et al., 2024).",
    "TargetedAPGD": "Auto-PGD towards the classes with the highest logits, one after the other (Croce and Hein, 2020).",
    "TargetedFAB": "Fast adaptive boundary towards each other class (Croce and Hein, 2020).",
    "TrustRegion": "Small steps towards the nearest class, as long as a linear approximation holds (Yao et al., 2019).",
}
"""One sentence for each attack of `inputopt.attacks`."""


def explained(names: Iterable[str]) -> list[tuple[str, str]]:
    """(name, meaning) of each attack once, in order; attacks of other packages are left out.

    >>> explained(["FGSM", "FGSM", "mine"])
    [('FGSM', 'Fast gradient sign method: one step along the gradient (Goodfellow et al., 2015).')]
    """
    return [(name, meaning) for name in dict.fromkeys(names) if (meaning := GLOSSARY.get(name) or _documented(name))]


def _documented(name: str) -> str:
    """The first line of an attack's docstring; empty if `inputopt.attacks` has no such attack."""
    kind = vars(attacks).get(name) if name in attacks.__all__ else None
    return (kind.__doc__ or "").strip().splitlines()[0] if kind is not None else ""
