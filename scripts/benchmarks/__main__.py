"""The command line of ``scripts/bench``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from rich.console import Console

ROOT = Path(__file__).parent.parent.parent
PLUMBING = {"__init__", "__main__", "findings"}


def benchmarks() -> dict[str, ModuleType]:
    """Every module of this package that is a benchmark, by name."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in PLUMBING)
    modules = {name: importlib.import_module(f"{__package__}.{name}") for name in found}
    return {name: module for name, module in modules.items() if hasattr(module, "HELP")}


def main() -> int:
    """Run one benchmark; exit code 1: a promise did not hold, 3: the run is spoiled, 4: it is not whole."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.add_argument("--into", type=Path, default=ROOT / "bench-results", help="where JSON and plot go")
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    modules = benchmarks()
    for name, module in modules.items():
        module.arguments(names.add_parser(name, help=module.HELP, description=module.__doc__))
    options = parser.parse_args()
    try:
        findings = modules[options.name].run(options)
    except KeyboardInterrupt:
        return 130
    findings.keep(options.into, options.name)
    if options.json:
        print(json.dumps(findings.as_json()))
    else:
        findings.show(Console(width=None if sys.stdout.isatty() else 160))
    return findings.exit_code


if __name__ == "__main__":
    sys.exit(main())
