"""Measurements that carry the README's figures: one module per name of ``scripts/bench NAME``.

Every module offers ``HELP`` (one line), ``arguments(parser)`` and ``run(options) -> Findings``. A figure is a
ratio against a peer or a floor in the same run, measured in alternating rounds; a module says which programs
and versions it compared.
"""
