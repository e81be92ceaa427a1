"""Figures of detection, each as a function of how often each patient counts."""
