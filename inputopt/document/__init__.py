"""The networks and figures of the document that this project reproduces."""

SOURCES = {
    "How to Train Neural Networks With Backpropagation, by Alan Wolfe (Atrix256), 2017": (
        "https://blog.demofox.org/2017/03/09/how-to-train-neural-networks-with-backpropagation/"
    ),
    "A Step by Step Backpropagation Example, by Matt Mazur, 2015": (
        "https://mattmazur.com/2015/03/17/a-step-by-step-backpropagation-example/"
    ),
}
"""The document, and the walk-through that it links to, with their addresses."""
