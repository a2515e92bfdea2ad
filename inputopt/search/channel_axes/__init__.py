"""Where a layer's output keeps its channels: observed in one forward, or stated by the user; not guessed from sizes."""
