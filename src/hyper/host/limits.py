"""Owns the limits of a process of ours; what a VMM may is `hypervisor.confine`."""

import resource


def open_all_files() -> None:
    """Allow as many open files as this process may allow itself; its children inherit that.

    A soft limit of 1024 is for programs that use select(2); it would be 1000 connections to the
    world for all pods together, and 500 to published ports.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
