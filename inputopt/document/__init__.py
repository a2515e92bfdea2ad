"""The networks and figures of the document that this project reproduces."""
