"""Which files of a folder are scans or images, and which labels belong to them."""
