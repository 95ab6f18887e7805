"""The HTTP server: Docker's Engine API and Hyper's own, over the engine. Knows no VM, no disk."""
