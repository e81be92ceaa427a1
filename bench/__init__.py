"""Speed beside PyTorch. The only place that imports torch; not part of the package."""
