"""The HTTP API as data: routes, and Docker's bodies to and from specifications. No I/O."""
