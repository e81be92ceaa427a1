"""State, optimiser, step, loop and checkpoints."""
