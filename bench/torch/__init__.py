"""The graphs of the package in PyTorch, for comparison."""
