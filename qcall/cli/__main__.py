"""``python -m qcall.cli``: the phone without its console script."""

from . import main

main()
