"""Studies whose results stand in docs/, a command each."""
