"""Image synthesis: fooling images, gradient ascent, deep dream, feature visualisation, and figures that show them."""
