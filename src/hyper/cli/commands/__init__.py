"""One module per command or group, imported only when it is asked for (see hyper.cli.registry)."""
