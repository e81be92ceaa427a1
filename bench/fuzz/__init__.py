"""Mutated files for every reader: no crash, no hang, no flood of memory, no other file."""
