"""The table of engines in the README: `python benchmarks/engines.py --json FILE`.

JAX has its own row and needs its own process:
`KERAS_BACKEND=jax python benchmarks/engines.py --engine keras`.
"""

import sys

from xunit_keras.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
