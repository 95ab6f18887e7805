"""Owns what pods take of the host's memory, as Hyper's own API shows it."""

from collections.abc import Sequence

from hyper.engine.memory import MemoryUse, ProcessUse, total_bytes
from hyper.engine.views import PodView

JSON = dict[str, object]


def memory(use: MemoryUse, pods: Sequence[PodView]) -> JSON:
    """Return every pod's figure, null where it cannot be read, and what stands beside them."""
    views = {view.id: view for view in pods}
    return {
        "Pods": [_pod(views[item.owner], item) for item in use.pods if item.owner in views],
        "Waiting": {"Count": len(use.waiting), "Pss": total_bytes(use.waiting)},
        "Daemon": {
            "Pss": total_bytes(use.daemon),
            "Processes": [
                {"Pid": item.pid, "Name": item.name, "Pss": total_bytes([item])}
                for item in use.daemon
            ],
        },
    }


def _pod(view: PodView, item: ProcessUse) -> JSON:
    known = item.memory
    return {
        "Id": view.id,
        "Name": view.spec.name,
        "Containers": list(view.container_ids),
        "Pid": item.pid,
        "Pss": known.pss_bytes if known else None,
        "Anonymous": known.anonymous_bytes if known else None,
        "File": known.file_bytes if known else None,
        "Shared": known.shared_bytes if known else None,
    }
