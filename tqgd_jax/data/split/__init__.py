"""Which samples train, validate and test; patients stay whole."""
