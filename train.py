"""Trains a detector: `python train.py --config=configs/tqgdnet.py --config.data.dir=DIR`.

The command line is tqgd_jax/commands/train.py (`tqgd train`); the story, with the loop,
tqgd_jax/training/train.py.
"""

from tqgd_jax.commands.train import main

if __name__ == "__main__":
    main()
