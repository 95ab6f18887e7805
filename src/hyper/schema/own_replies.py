"""Owns what the answers of Hyper's own API look like, as JSON Schema: every field, and no other.

What gives them is in api/render; a test compares both on a running daemon.
"""

from typing import Any

JSON = dict[str, Any]
TEXT: JSON = {"type": "string"}
WHOLE: JSON = {"type": "integer"}
FLAG: JSON = {"type": "boolean"}
PAIRS: JSON = {"type": "object", "additionalProperties": TEXT}


def listed(item: JSON) -> JSON:
    """Return the schema of a list."""
    return {"type": "array", "items": item}


def shape(fields: JSON, optional: tuple[str, ...] = ()) -> JSON:
    """Return the schema of an object with these fields, all of which are there but `optional`."""
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def _or_null(schema: JSON) -> JSON:
    return {"anyOf": [schema, {"type": "null"}]}


TEXTS = listed(TEXT)
CREATED = shape({"Id": TEXT, "Name": TEXT})
CONTAINER_CREATED = shape({"Id": TEXT, "Warnings": TEXTS})
PORT = shape({"ContainerPort": WHOLE, "HostPort": WHOLE, "HostIP": TEXT, "Protocol": TEXT})
SERVICE = shape(
    {
        "Name": TEXT,
        "Address": TEXT,
        "Port": WHOLE,
        "Protocol": TEXT,
        "Scheduler": TEXT,
        "Backends": listed(shape({"Address": TEXT, "Port": WHOLE, "Weight": WHOLE})),
    }
)
CONTAINER = shape(
    {
        "Id": TEXT,
        "Name": TEXT,
        "NameInPod": TEXT,
        "Role": {"enum": ["main", "init", "sidecar"]},
        "Image": TEXT,
        "State": TEXT,
        "Ready": FLAG,
        "Started": FLAG,
        "ExitCode": WHOLE,
        "Error": TEXT,
        "OOMKilled": FLAG,
        "RestartCount": WHOLE,
        "StartedAt": TEXT,
        "FinishedAt": TEXT,
    }
)
_SPEC = shape(
    {
        "Hostname": TEXT,
        "Domainname": TEXT,
        "MaxVCpus": WHOLE,
        "MaxMemory": WHOLE,
        "KernelParameters": TEXTS,
        "Follows": FLAG,
        "SharePid": FLAG,
        "Network": TEXT,
        "Interfaces": listed(
            shape(
                {"Network": TEXT, "IPAddress": TEXT, "MacAddress": TEXT, "MTU": WHOLE, "Name": TEXT}
            )
        ),
        "PortSources": TEXTS,
        "Annotations": PAIRS,
        "Volumes": listed(
            shape({"Name": TEXT, "Medium": TEXT, "Source": TEXT, "ReadOnly": FLAG, "Size": WHOLE})
        ),
        "Services": listed(SERVICE),
        "Sysctls": PAIRS,
        "ShmSize": WHOLE,
        "GracePeriod": _or_null({"type": "number"}),
        "Deadline": {"type": "number"},
        "Devices": listed(shape({"Path": TEXT, "ReadOnly": FLAG, "Target": TEXT})),
        "Machine": TEXT,
        "AutoRemove": FLAG,
        "Dns": TEXTS,
        "DnsOptions": TEXTS,
        "DnsSearch": TEXTS,
        "Log": shape({"Type": TEXT, "Config": PAIRS}),
    }
)
_SUMMARY: dict[str, JSON] = {
    "Id": TEXT,
    "Name": TEXT,
    "Created": TEXT,
    "State": {"enum": ["stopped", "starting", "running", "paused", "stopping"]},
    "Lone": FLAG,
    "VCpus": WHOLE,
    "Memory": WHOLE,
    "Kernel": TEXT,
    "Labels": PAIRS,
    "Pid": WHOLE,
    "Accelerator": TEXT,
    "IPAddress": TEXT,
}
POD_SUMMARY = shape({**_SUMMARY, "Containers": TEXTS})
POD = shape(
    {
        **_SUMMARY,
        "Containers": listed(CONTAINER),
        "Spec": _SPEC,
        "Ports": listed(PORT),
        "Ready": FLAG,
        "OOMKilled": FLAG,
        "OOMVictims": TEXTS,
    }
)
SIZE = shape({"VCpus": WHOLE, "Memory": WHOLE})
KERNEL = shape({"Name": TEXT, "Path": TEXT, "Size": WHOLE, "Version": TEXT})
CHECK = shape({"Name": TEXT, "Ok": FLAG, "Detail": TEXT, "Advice": TEXT, "Warning": FLAG})
SNAPSHOT = shape({"Name": TEXT, "CreatedAt": TEXT, "SizeBytes": WHOLE, "StoredBytes": WHOLE})
VOLUME = shape(
    {
        "CreatedAt": TEXT,
        "Driver": TEXT,
        "Labels": _or_null(PAIRS),
        "Mountpoint": TEXT,
        "Name": TEXT,
        "Options": _or_null(PAIRS),
        "Scope": TEXT,
        "Status": {"type": "object"},
    },
    ("Status",),
)
POOL = shape(
    {
        "Templates": FLAG,
        "Waiting": WHOLE,
        "Shapes": WHOLE,
        "Items": listed(
            shape(
                {
                    "Key": TEXT,
                    "VCpus": WHOLE,
                    "Memory": WHOLE,
                    "Kernel": TEXT,
                    "Waiting": WHOLE,
                    "TemplateSize": WHOLE,
                    "TemplateUsed": TEXT,
                    "Failures": WHOLE,
                }
            )
        ),
    }
)
_BYTES = _or_null(WHOLE)
MEMORY = shape(
    {
        "Pods": listed(
            shape(
                {
                    "Id": TEXT,
                    "Name": TEXT,
                    "Containers": TEXTS,
                    "Pid": WHOLE,
                    "Pss": _BYTES,
                    "Anonymous": _BYTES,
                    "File": _BYTES,
                    "Shared": _BYTES,
                }
            )
        ),
        "Waiting": shape({"Count": WHOLE, "Pss": _BYTES}),
        "Daemon": shape(
            {"Pss": _BYTES, "Processes": listed(shape({"Pid": WHOLE, "Name": TEXT, "Pss": _BYTES}))}
        ),
    }
)
NETWORK_SERVICE = shape(
    {
        "Id": TEXT,
        "Name": TEXT,
        "Network": TEXT,
        "Address": TEXT,
        "Names": TEXTS,
        "Selector": PAIRS,
        "Sticky": FLAG,
        "Ports": listed(
            shape(
                {
                    "Port": WHOLE,
                    "Protocol": TEXT,
                    "Target": TEXT,
                    "HostPort": WHOLE,
                    "Backends": listed(shape({"Address": TEXT, "Port": WHOLE})),
                }
            )
        ),
    }
)
_FAILED = shape({"error": TEXT, "errorDetail": {"type": "object"}})
PLAYED: JSON = {
    "description": "a line each, as things are done",
    "anyOf": [
        shape({"warning": TEXT}),
        shape({"volume": TEXT, "made": FLAG}),
        shape({"service": TEXT, "address": TEXT, "ports": listed(WHOLE)}),
        shape(
            {
                "pod": shape(
                    {
                        "Id": TEXT,
                        "Name": TEXT,
                        "Containers": listed(shape({"Id": TEXT, "Name": TEXT})),
                    }
                )
            }
        ),
        {"type": "object", "required": ["status"], "description": "of a pull, as Docker's"},
        _FAILED,
    ],
}
PLAYED_DOWN: JSON = {
    "description": "a line each, as things are done",
    "anyOf": [
        *(shape({**{n: TEXT}}) for n in ("serviceRemoved", "stopped", "removed", "volumeRemoved")),
        _FAILED,
    ],
}
