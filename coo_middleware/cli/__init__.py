"""The command `coo`, which the extra `cli` brings."""

from __future__ import annotations

import sys
from importlib.util import find_spec

INSTALL = "The command needs typer and rich: pip install 'coo-middleware[cli]'"


def main() -> None:
    """Runs the command that the arguments name and exits: 0 all well, 1 a fault was found, 2 the arguments or the
    configuration cannot be used, or the extra is missing.
    """
    if not all(find_spec(name) for name in ("typer", "rich")):
        sys.stderr.write(f"{INSTALL}\n")
        sys.exit(2)
    from coo_middleware.cli.commands import app

    app()
