"""A comparison of networks: rows, data sets, folds and seeds, and what comes of them."""
