"""Finds the channel axis of a layer's output from one forward or the user's `axis`; never guessed from sizes."""
