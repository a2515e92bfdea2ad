"""Four ways to a derivative: autograd, backpropagation by hand, dual numbers, finite differences."""
