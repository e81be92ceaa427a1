"""A simulator of cardiac CT with coronary calcium: the built-in data set."""
