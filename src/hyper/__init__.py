"""Hyper: run Docker images directly on a hypervisor, each pod a tiny virtual machine.

Owns the version; `hyper.sdk` has what programs import.
"""

__version__ = "0.1.0"

# Imported on first use (PEP 562): the command line imports this package and needs none of them.
_EXPORTS = {
    "AsyncClient": "hyper.sdk.aio",
    "AsyncSandbox": "hyper.sdk.aio_sandbox",
    "Client": "hyper.sdk.client",
    "ContainerOptions": "hyper.sdk.calls",
    "Result": "hyper.sdk.calls",
    "Sandbox": "hyper.sdk.sandbox",
    "ApiError": "hyper.sdk.errors",
    "ConflictError": "hyper.sdk.errors",
    "ConnectionLost": "hyper.sdk.errors",
    "DaemonUnavailable": "hyper.sdk.errors",
    "NotFoundError": "hyper.sdk.errors",
    "HyperError": "hyper.core.errors",
    "OutputTooLong": "hyper.sdk.exchange",
    "Timeout": "hyper.core.errors",
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.core.errors import HyperError, Timeout
    from hyper.sdk.aio import AsyncClient
    from hyper.sdk.aio_sandbox import AsyncSandbox
    from hyper.sdk.calls import ContainerOptions, Result
    from hyper.sdk.client import Client
    from hyper.sdk.errors import (
        ApiError,
        ConflictError,
        ConnectionLost,
        DaemonUnavailable,
        NotFoundError,
    )
    from hyper.sdk.exchange import OutputTooLong
    from hyper.sdk.sandbox import Sandbox

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSandbox",
    "Client",
    "ConflictError",
    "ConnectionLost",
    "ContainerOptions",
    "DaemonUnavailable",
    "HyperError",
    "NotFoundError",
    "OutputTooLong",
    "Result",
    "Sandbox",
    "Timeout",
]


def __getattr__(name: str) -> object:
    where = _EXPORTS.get(name)
    if where is None:
        raise AttributeError(f"module 'hyper' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(where), name)
