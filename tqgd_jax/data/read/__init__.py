"""One look at every file: sizes, boxes, problems; no pixels are kept."""
