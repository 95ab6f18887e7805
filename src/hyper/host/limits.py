"""Owns the limits of a process of ours; what a VMM may is `hypervisor.confine`."""

import resource


def allow_open_files(most: int) -> None:
    """Allow this process, and its children, `most` open files, or as many as it may.

    A soft limit of 1024 is for programs that use select(2); it would be 1000 connections to the
    world for all pods together, and 500 to published ports.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard), hard))
