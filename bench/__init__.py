"""Measurements: speed, a PyTorch twin, studies, gates. Only here is torch imported."""
