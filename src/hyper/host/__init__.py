"""The host's operating system: processes, files, threads. Knows no container."""
