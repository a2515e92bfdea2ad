"""Refusal of networks whose logits are not a function of the input alone, for which no certificate holds."""

from __future__ import annotations

from inputopt.search.network_traits import NetworkTraits


def check_fixed_logits(traits: NetworkTraits) -> None:
    """Check that the logits of an input are always the same.

    Raises:
        ValueError: they vary from call to call, or depend on the other inputs of the batch.
    """
    if traits.stochastic:
        raise ValueError(
            "This network's logits vary between calls, so that no certificate holds for it; make it deterministic."
        )
    if traits.batch_dependent:
        raise ValueError(
            "This network's logits of an input depend on the other inputs of the batch, so that no certificate holds "
            "for it; normalise by fixed statistics, as batch normalisation does in evaluation mode."
        )
