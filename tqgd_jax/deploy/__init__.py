"""A trained detector in forms that need neither the run nor this project.

`export.py` writes them, `reading.py` reads them back; docs/export.md.
"""
