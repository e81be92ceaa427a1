"""Files to arrays and back. Input from outside is checked here and nowhere else."""
