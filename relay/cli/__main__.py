"""``python -m relay.cli``: the relay without its console script."""

from . import main

main()
