"""Pictures: fooling images, ascent, dreams, and the sheets that show them."""
