"""Named compositions of the one loop."""
