"""What holds still: networks, their activations and costs, and how they are stored."""
