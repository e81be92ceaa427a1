"""Competitors of Table 1, one room a family, and what they share."""
