"""`python -m coo_middleware` is the command `coo`."""

from coo_middleware.cli import main

main()
