"""Trains a detector: `python train.py --config=configs/tqgdnet.py --config.data.dir=DIR`.

The command is `tqgd train`: tqgd_jax/commands/train.py; what it does, tqgd_jax/training.
"""

from tqgd_jax.commands.train import main

if __name__ == "__main__":
    main()
