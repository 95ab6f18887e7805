"""Owns securityContext, of pods and of containers."""

from dataclasses import dataclass

from hyper.schema.kube.codecs import (
    BOOLEAN,
    IDENTITY,
    NONEMPTY,
    STRINGS,
    TEXT,
    choice,
    only,
)
from hyper.schema.kube.fields import (
    Codec,
    Field,
    Table,
    acts,
    differs,
    idle,
    many,
    nested,
    refused,
)
from hyper.schema.kube.place import Place

_NO_SELINUX = "the guest has no SELinux"
_NO_WINDOWS = "Hyper runs Linux"


@dataclass(frozen=True, slots=True)
class Profile:
    """Which seccomp or AppArmor profile applies."""

    type: str = ""


SECCOMP = Table(
    "seccompProfile",
    Profile,
    (
        acts(
            "type",
            only(
                "profiles of a node's folder do not exist here: use RuntimeDefault or Unconfined",
                "RuntimeDefault",
                "Unconfined",
            ),
            "RuntimeDefault, Unconfined",
            required=True,
        ),
        refused("localhostProfile", "profiles of a node's folder do not exist here"),
    ),
)
APPARMOR = Table(
    "appArmorProfile",
    Profile,
    (
        acts(
            "type",
            only("the guest has no AppArmor; the VM is the boundary", "Unconfined"),
            "Unconfined",
            required=True,
        ),
        refused("localhostProfile", "the guest has no AppArmor"),
    ),
)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel parameter of the pod."""

    name: str = ""
    value: str = ""


SYSCTL = Table(
    "sysctls[]",
    Sysctl,
    (acts("name", NONEMPTY, required=True), acts("value", TEXT, required=True)),
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities without CAP_, added to and dropped from the default ones."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


CAPABILITIES = Table("capabilities", Capabilities, (acts("add", STRINGS), acts("drop", STRINGS)))

_IDENTITIES: Codec[tuple[int, ...]] = many(IDENTITY)
_SHARED: tuple[Field, ...] = (
    acts("runAsUser", IDENTITY),
    acts("runAsGroup", IDENTITY),
    acts("runAsNonRoot", BOOLEAN, "checked against runAsUser and the image's user"),
    differs(
        "seccompProfile",
        nested(SECCOMP),
        "without one the default profile applies, not Unconfined",
    ),
    acts("appArmorProfile", nested(APPARMOR)),
    refused("seLinuxOptions", _NO_SELINUX),
    refused("windowsOptions", _NO_WINDOWS),
)


@dataclass(frozen=True, slots=True)
class PodSecurity:
    """securityContext of a pod: what its containers start from."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = "Merge"
    sysctls: tuple[Sysctl, ...] = ()


KUBERNETES_DEFAULTS = PodSecurity()

POD_SECURITY = Table(
    "pod securityContext",
    PodSecurity,
    (
        *_SHARED,
        acts("fsGroup", IDENTITY, "the group of emptyDir and of injected files"),
        idle("fsGroupChangePolicy", "volumes of the host keep their owners", "OnRootMismatch"),
        acts("supplementalGroups", _IDENTITIES),
        differs(
            "supplementalGroupsPolicy",
            choice("Merge", "Strict"),
            "a process with runAsGroup gets no groups of the image's /etc/group in either case",
        ),
        acts("sysctls", many(nested(SYSCTL)), "of the namespaces a container has for itself"),
        refused("seLinuxChangePolicy", _NO_SELINUX),
    ),
)


@dataclass(frozen=True, slots=True)
class ContainerSecurity:
    """securityContext of a container; None is the pod's."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None
    capabilities: Capabilities = Capabilities()
    privileged: bool = False
    allow_privilege_escalation: bool = True
    read_only_root_filesystem: bool = False
    proc_mount: str = "Default"


POD_DEFAULTS = ContainerSecurity()


def _check(security: ContainerSecurity, place: Place) -> None:
    escalation = place.at("allowPrivilegeEscalation")
    if not security.allow_privilege_escalation:
        if security.privileged:
            raise escalation.invalid(
                False, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            )
        if {"CAP_SYS_ADMIN", "SYS_ADMIN"} & set(security.capabilities.add):
            raise escalation.invalid(
                False,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN",
            )


CONTAINER_SECURITY = Table(
    "securityContext",
    ContainerSecurity,
    (
        *_SHARED,
        acts("capabilities", nested(CAPABILITIES)),
        differs("privileged", BOOLEAN, "everything inside its own VM, nothing on the host"),
        acts("allowPrivilegeEscalation", BOOLEAN, "false sets no_new_privs"),
        acts("readOnlyRootFilesystem", BOOLEAN),
        acts("procMount", choice("Default", "Unmasked")),
    ),
    _check,
)
