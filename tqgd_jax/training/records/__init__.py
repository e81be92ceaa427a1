"""What a run leaves in its folder: settings, checkpoints, logs."""
