"""Attribution: which input elements, and which image regions, a prediction depends on."""
