"""The prepared set: every image or slice once, whatever the split."""
