"""The harness that compares the middleware with its peers and with the floors; `make bench` runs it."""
