"""Several models on the same patients."""
