"""Who runs the cells of a study when it is not this process: engines that exist."""
