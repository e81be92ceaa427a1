"""Where the time of a training step goes: `python -m bench.profile`."""
