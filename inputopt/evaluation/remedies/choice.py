"""Choosing the networks to attack: every repair that a network allows is measured by a few steps on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from inputopt.evaluation.remedies.attack_network import AttackNetwork, with_forward, with_repair
from inputopt.evaluation.remedies.draws import draws_needed
from inputopt.evaluation.remedies.elementwise import elementwise
from inputopt.evaluation.remedies.fitted_head import feature_taps, with_fitted_head
from inputopt.evaluation.remedies.inspection import Inspection, has_widths, inspect
from inputopt.evaluation.remedies.smoothed import averaged, estimated
from inputopt.evaluation.remedies.trials import Trial, tried
from inputopt.evaluation.threat import Threat
from inputopt.nets.gradient_rules.gradient_repair import ENTRIES, GradientRepair, repaired

Named = tuple[str, GradientRepair]

GAIN = 0.05
"""Share of a trial's inputs that a repair must fool beyond others to be used: two of 32."""

ENOUGH = 0.3
"""Share of a trial's inputs that a repair must fool; below it, further and dearer repairs are tried."""

NEARLY = 0.7
"""Share of what the best repair fooled in its trial, from which on others are used too."""

NETWORKS, RANDOM_NETWORKS = 3, 2
"""Largest number of networks that the inputs are attacked on at length; a random one takes several draws a step."""

WIDTHS = {"narrower": 0.3, "wider": 3.0, "narrowest": 0.08}
"""Widths of stand-ins that are tried on what the usual one leaves robust."""

TRIAL_DRAWS = 4
"""Random draws averaged over in a trial on a random network."""


def attack_networks(threat: Threat, rows: Tensor) -> list[AttackNetwork]:
    """The networks whose gradients lead to adversarial examples of the inputs `rows`, the best first.

    Empty if no repair fools more than the network's own gradient, and it needs no draws.
    """
    own = GradientRepair(alone=threat.traits.batch_dependent)
    found = inspect(threat.net, threat.problem.x0[rows], own.alone)
    trials: list[Trial] = []
    for stage in _stages(threat, rows, found, own):
        trials += [tried(_with_draws(network, threat), threat, rows) for network in stage(trials)]
        if _best(trials).share >= max(ENOUGH, trials[0].share + GAIN):
            break
    return [_averaged_over_draws(network, threat, rows) for network in _chosen(trials, threat)]


def other_widths(network: AttackNetwork, threat: Threat, rows: Tensor) -> list[AttackNetwork]:
    """The network with narrower and with wider stand-ins of its steps, if it has any."""
    repair = network.repair
    if repair is None or not repair.straight_through or not has_widths(threat.net, threat.problem.x0[rows], repair):
        return []
    return [
        replace(
            with_repair(threat.net, f"{network.name}, {word}", replace(repair, width=width)),
            canvas=network.canvas,
            eot_samples=network.eot_samples,
        )
        for word, width in WIDTHS.items()
    ]


def likely_networks(threat: Threat, rows: Tensor) -> list[AttackNetwork]:
    """The network itself, and with the repairs that are likely to help, without a trial."""
    found = inspect(threat.net, threat.problem.x0[rows], threat.traits.batch_dependent)
    repairs = [with_repair(threat.net, name, repair) for name, repair in found.likely]
    return [AttackNetwork("the model's own gradient", threat.net, changed=False), *repairs]


Stage = Callable[[Sequence[Trial]], Iterator[AttackNetwork]]
"""(trials so far) -> networks to try next."""


def _stages(threat: Threat, rows: Tensor, found: Inspection, own: GradientRepair) -> list[Stage]:
    """Groups of networks, each tried if those before it did not lead far."""
    first: Named = ("the model's own gradient", own)
    likely: list[Named] = [first, *(each for each in found.likely if each[1] != own)]

    def repairs(named: Sequence[Named]) -> Iterator[AttackNetwork]:
        for name, repair in named:
            yield with_repair(threat.net, name, repair)
        for outputs, taps in found.outputs:
            for name, repair in named:
                joined = outputs if repair == own else f"{outputs} and {name}"
                yield with_repair(threat.net, joined, replace(repair, output_taps=taps))

    def smoothed(trials: Sequence[Trial]) -> Iterator[AttackNetwork]:
        best = _best(trials)
        if best.share > 0 and not (threat.traits.stochastic and best.share >= GAIN):  # draws smooth it already
            name = f"{best.network.name}, averaged over noise"
            yield with_forward(threat.net, name, averaged(best.network.net, threat.reach), best.network.taps)
        if best.share < GAIN:
            for tap in feature_taps(threat.net, threat.problem.x0[rows]):
                head = with_fitted_head(
                    threat.net, threat.problem.x0[rows], tap, threat.reach, threat.problem.ids[rows]
                )
                yield with_forward(threat.net, "a head fitted to the model's predictions", head, None)
            plain = repaired(threat.net.runner, own)
            yield with_forward(threat.net, "gradients estimated from outputs", estimated(plain, threat.reach))

    def first_stage(trials: Sequence[Trial]) -> Iterator[AttackNetwork]:
        yield from repairs(likely)
        yield from _decoded(threat, rows, own)

    return [first_stage, lambda trials: repairs(found.further), smoothed]


def _decoded(threat: Threat, rows: Tensor, own: GradientRepair) -> Iterator[AttackNetwork]:
    """A search in the values that preprocessing of each element can return, where there is one."""
    if threat.norm != "linf" or threat.levels is not None or threat.traits.stochastic:
        return
    canvas = elementwise(threat.net, threat.problem.x0[rows])
    if canvas is not None:
        behind = GradientRepair(straight_through=True, input_tap=ENTRIES, alone=own.alone)
        network = with_repair(threat.net, "a search behind the preprocessing of each element", behind)
        yield replace(network, canvas=canvas)


def _best(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest share; of nearly equal ones the first."""
    return max(trials, key=lambda trial: round(trial.share / (GAIN / 2)))  # `max` returns the first of equal ones


def _chosen(trials: list[Trial], threat: Threat) -> list[AttackNetwork]:
    best = _best(trials)
    changed = threat.traits.stochastic or threat.traits.batch_dependent
    if best.share < 0 or (best.share < trials[0].share + GAIN and not changed):
        return []
    chosen = [best]
    for trial in sorted(trials, key=lambda each: -each.share):
        enough = trial.share >= NEARLY * best.share and trial.network.changed
        if enough and len(chosen) < NETWORKS and not any(_same(trial, each) for each in chosen):
            chosen.append(trial)
    return [trial.network for trial in chosen[: RANDOM_NETWORKS if threat.traits.stochastic else NETWORKS]]


def _same(one: Trial, other: Trial) -> bool:
    """Whether two networks led to the same inputs, up to one in a hundred elements: they have the same gradient."""
    if one.x is None or other.x is None:
        return one is other
    return float((one.x != other.x).double().mean()) < 0.01


def _with_draws(network: AttackNetwork, threat: Threat) -> AttackNetwork:
    return replace(network, eot_samples=TRIAL_DRAWS) if threat.traits.stochastic else network


def _averaged_over_draws(network: AttackNetwork, threat: Threat, rows: Tensor) -> AttackNetwork:
    """With as many draws as the noise of the gradient asks for, if the network is random or has a state."""
    if not threat.traits.stochastic:
        return network
    draws = draws_needed(network.net, threat, rows)
    return replace(network, name=f"{network.name}, averaged over {draws} draws", eot_samples=draws)
