"""Networks, their activations and cost functions, frozen models, and reading and writing networks."""
