"""From a scan to files: what `tqgd predict` writes."""
