"""Four methods of differentiation: autograd, manual backpropagation, dual numbers and finite differences."""
