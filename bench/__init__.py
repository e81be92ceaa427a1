"""Speed, beside PyTorch too: `python -m bench`. The only place that imports torch."""
