"""A table of networks as people really have them, by kind: each works like its plain float64 self, or is refused in one
sentence.
"""

from kinds import (
    architectures,
    branches,
    callables,
    derivatives,
    hooked,
    inplace,
    modes,
    outputs,
    precision,
    ranges,
    reading,
    sharing,
    stochastic,
    together,
    weights,
    wrapped,
)
from kinds.network import Network

KINDS = (
    sharing.SHARING,
    weights.WEIGHTS,
    reading.READING,
    inplace.INPLACE,
    wrapped.WRAPPED,
    modes.MODES,
    derivatives.DERIVATIVES,
    hooked.HOOKED,
    architectures.ARCHITECTURES,
    branches.BRANCHES,
    callables.CALLABLES,
    outputs.OUTPUTS,
    precision.PRECISION,
    ranges.RANGES,
    derivatives.NONE,
    stochastic.STOCHASTIC,
    together.TOGETHER,
    outputs.REFUSED,
)

NETWORKS: dict[str, Network] = {network.name: network for kind in KINDS for network in kind.networks}
WORKING = [name for name, network in NETWORKS.items() if network.works]


def find(name: str) -> Network:
    """The network of that name."""
    return NETWORKS[name]
