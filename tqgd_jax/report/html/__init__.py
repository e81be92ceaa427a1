"""The report page and all that stands on it."""
