"""Evaluates a trained run: `python eval.py --workdir=RUN --split=test`.

The command is `tqgd eval`: tqgd_jax/commands/eval.py.
"""

from tqgd_jax.commands.eval import main

if __name__ == "__main__":
    main()
