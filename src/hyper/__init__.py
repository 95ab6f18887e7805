"""Hyper: run Docker images directly on a hypervisor, each pod a tiny virtual machine.

Owns the version; `hyper.sdk` has what programs import.
"""

__version__ = "0.1.0"
