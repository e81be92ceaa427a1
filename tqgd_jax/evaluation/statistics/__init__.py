"""Weights of patients and intervals from them."""
