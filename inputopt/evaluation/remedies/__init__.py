"""Remedies for what makes an attack fail: networks with usable gradients, and searches that need none."""
