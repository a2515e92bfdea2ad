"""Probes: short measurements of a model, beside the attacks, from which indicators are computed; one file each."""
