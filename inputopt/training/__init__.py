"""Training of networks, by gradients or by a genetic algorithm."""
