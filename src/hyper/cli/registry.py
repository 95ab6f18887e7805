"""The one table of commands: where each is, and its line in the help. Imports none of them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.command import Command

COMMON = (
    ("run", "run", "Create and run a new container from an image"),
    ("exec", "exec", "Execute a command in a running container"),
    ("ps", "ps", "List containers"),
    ("pull", "pull", "Download an image from a registry"),
    ("push", "push", "Upload an image to a registry"),
    ("images", "images", "List images"),
    ("login", "login", "Authenticate to a registry"),
    ("logout", "login:LOGOUT", "Log out from a registry"),
    ("search", "search", "Search Docker Hub for images"),
    ("version", "version", "Show the Hyper version information"),
    ("info", "info", "Display system-wide information"),
)
PLAIN = (
    (
        "attach",
        "attach",
        "Attach local standard input, output, and error streams to a running container",
    ),
    ("commit", "commit", "Create a new image from a container's changes"),
    ("completion", "completion", "Generate the completion script for a shell"),
    ("cp", "cp", "Copy files/folders between a container and the local filesystem"),
    ("create", "create", "Create a new container"),
    ("diff", "diff", "Inspect changes to files or directories on a container's filesystem"),
    ("doctor", "doctor", "Check what this machine offers Hyper, and say what to do"),
    ("env", "env", "Print the DOCKER_HOST to export"),
    ("events", "events", "Get real time events from the server"),
    ("export", "export", "Export a container's filesystem as a tar archive"),
    ("history", "history", "Show the history of an image"),
    ("import", "import_", "Import the contents from a tarball to create a filesystem image"),
    ("inspect", "inspect", "Return low-level information on Docker objects"),
    ("kill", "kill", "Kill one or more running containers"),
    ("load", "load", "Load an image from a tar archive or STDIN"),
    ("logs", "logs", "Fetch the logs of a container"),
    ("pause", "pause", "Pause all processes within one or more containers"),
    ("port", "port", "List port mappings or a specific mapping for the container"),
    ("rename", "rename", "Rename a container"),
    ("restart", "restart", "Restart one or more containers"),
    ("rm", "rm", "Remove one or more containers"),
    ("rmi", "rmi", "Remove one or more images"),
    ("save", "save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    ("start", "start", "Start one or more stopped containers"),
    ("stats", "stats", "Display a live stream of container(s) resource usage statistics"),
    ("stop", "stop", "Stop one or more running containers"),
    ("tag", "tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    ("top", "top", "Display the running processes of a container"),
    ("unpause", "pause:UNPAUSE", "Unpause all processes within one or more containers"),
    ("update", "update", "Update configuration of one or more containers"),
    ("wait", "wait", "Block until one or more containers stop, then print their exit codes"),
)
_SUMMARIES = {name: (where, summary) for name, where, summary in (*COMMON, *PLAIN)}


def _same(*names: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((name, *_SUMMARIES[name]) for name in names)


# A member without a place is a group of its own below this one.
GROUPS: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "container": (
        "Manage containers",
        (
            *_same("attach", "commit", "cp", "create", "diff", "exec", "export"),
            (
                "inspect",
                "inspect:CONTAINER",
                "Display detailed information on one or more containers",
            ),
            *_same("kill", "logs"),
            ("ls", "ps", "List containers"),
            *_same("pause", "port"),
            ("prune", "prune:CONTAINERS", "Remove all stopped containers"),
            *_same("rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause"),
            *_same("update", "wait"),
        ),
    ),
    "image": (
        "Manage images",
        (
            *_same("history", "import"),
            ("inspect", "inspect:IMAGE", "Display detailed information on one or more images"),
            *_same("load"),
            ("ls", "images", "List images"),
            ("prune", "prune:IMAGES", "Remove unused images"),
            *_same("pull", "push"),
            ("rm", "rmi", "Remove one or more images"),
            *_same("save", "tag"),
        ),
    ),
    "kernel": (
        "Manage guest kernels",
        (
            ("add", "kernel:ADD", "Add a kernel under a name"),
            ("build", "kernel:BUILD", "Build the guest kernel from the distribution's sources"),
            ("ls", "kernel:LS", "List kernels"),
            ("rm", "kernel:RM", "Remove one or more kernels"),
        ),
    ),
    "generate": (
        "Generate manifests",
        (("kube", "kube:GENERATE", "Write a Kubernetes manifest of pods or containers"),),
    ),
    "kube": (
        "Play Kubernetes manifests",
        (
            ("down", "kube:DOWN", "Stop and remove the pods of Kubernetes manifests"),
            ("generate", "kube:GENERATE", "Write a Kubernetes manifest of pods or containers"),
            ("play", "kube:PLAY", "Make pods and volumes from Kubernetes manifests"),
            ("services", "kube:SERVICES", "List services and the pods behind them"),
        ),
    ),
    "network": (
        "Manage networks",
        (
            ("connect", "network:CONNECT", "Connect a container to a network"),
            ("create", "network:CREATE", "Create a network"),
            ("disconnect", "network:DISCONNECT", "Disconnect a container from a network"),
            ("inspect", "inspect:NETWORK", "Display detailed information on one or more networks"),
            ("ls", "network:LS", "List networks"),
            ("prune", "prune:NETWORKS", "Remove all unused networks"),
            ("rm", "network:RM", "Remove one or more networks"),
        ),
    ),
    "play": (
        "Play manifests",
        (("kube", "kube:PLAY", "Make pods and volumes from Kubernetes manifests"),),
    ),
    "pool": (
        "Manage the VMs that wait for a pod",
        (
            ("ls", "pool:LS", "List shapes of VM, what waits of each, and their templates"),
            ("set", "pool:SET", "Change how many VMs wait, until the daemon ends"),
        ),
    ),
    "pod": (
        "Manage pods",
        (
            ("attach", "pod_inside:ATTACH", "Attach to a container of a running pod"),
            ("container", "", "Manage the containers of a pod"),
            ("create", "pod:CREATE", "Create a pod from a document or from flags"),
            ("events", "pod_inside:EVENTS", "Get real time events of pods"),
            ("exec", "pod_inside:EXEC", "Execute a command in a container of a running pod"),
            ("inspect", "pod_inside:INSPECT", "Display detailed information on one or more pods"),
            ("kill", "pod:KILL", "Kill the containers of one or more running pods"),
            ("label", "pod:LABEL", "Set or remove labels of a pod"),
            ("logs", "pod_inside:LOGS", "Fetch the logs of a pod's containers"),
            ("ls", "pod:LS", "List pods"),
            ("pause", "pod:PAUSE", "Pause all processes within one or more pods"),
            ("port", "", "Manage the published ports of a pod"),
            ("ps", "pod_inside:PS", "List the containers of one or more pods"),
            ("resize", "pod_inside:RESIZE", "Change the size of a pod's VM"),
            ("restart", "pod:RESTART", "Restart one or more pods"),
            ("rm", "pod:RM", "Remove one or more pods with their containers"),
            ("run", "pod_run", "Create and run a pod"),
            ("service", "", "Manage service addresses inside a pod"),
            ("start", "pod:START", "Start one or more pods"),
            ("stats", "pod_inside:STATS", "Display what the containers of pods use"),
            ("stop", "pod:STOP", "Stop one or more running pods"),
            ("top", "pod_inside:TOP", "Display the running processes of a pod"),
            ("unpause", "pod:UNPAUSE", "Unpause all processes within one or more pods"),
            ("wait", "pod:WAIT", "Block until one or more pods' containers have ended"),
        ),
    ),
    "pod container": (
        "Manage the containers of a pod",
        (
            ("add", "pod_container", "Add a container to a pod, and start it if the pod runs"),
            ("rm", "pod:RM_CONTAINER", "Remove containers from a pod"),
        ),
    ),
    "pod port": (
        "Manage the published ports of a pod",
        (
            ("add", "pod_inside:PORT_ADD", "Publish ports of a pod"),
            ("ls", "pod_inside:PORT_LS", "List the published ports of a pod"),
            ("rm", "pod_inside:PORT_RM", "Take published ports of a pod away"),
        ),
    ),
    "pod service": (
        "Manage service addresses inside a pod",
        (
            ("add", "pod_inside:SERVICE_ADD", "Add a service, or give one other backends"),
            ("ls", "pod_inside:SERVICE_LS", "List the services inside a pod"),
            ("rm", "pod_inside:SERVICE_RM", "Take services away"),
        ),
    ),
    "system": (
        "Manage Hyper",
        (
            ("df", "df", "Show disk usage"),
            *_same("events", "info"),
            ("prune", "prune:SYSTEM", "Remove unused data"),
        ),
    ),
    "volume": (
        "Manage volumes",
        (
            ("create", "volume:CREATE", "Create a volume"),
            ("inspect", "inspect:VOLUME", "Display detailed information on one or more volumes"),
            ("ls", "volume:LS", "List volumes"),
            ("prune", "prune:VOLUMES", "Remove unused local volumes"),
            ("resize", "volume_disk:RESIZE", "Make a volume with a size larger"),
            ("rm", "volume:RM", "Remove one or more volumes"),
            ("snapshot", "", "Manage snapshots of volumes"),
        ),
    ),
    "volume snapshot": (
        "Manage snapshots of volumes",
        (
            ("create", "volume_disk:TAKE", "Take a snapshot of a volume"),
            ("ls", "volume_disk:LS", "List the snapshots of a volume"),
            ("restore", "volume_disk:RESTORE", "Make a volume what it was at a snapshot"),
            ("rm", "volume_disk:RM", "Delete snapshots of a volume"),
        ),
    ),
}
ALIASES = {
    "container list": "container ls",
    "container ps": "container ls",
    "container remove": "container rm",
    "image list": "image ls",
    "image remove": "image rm",
    "network list": "network ls",
    "network remove": "network rm",
    "volume list": "volume ls",
    "volume remove": "volume rm",
    "volume snapshot list": "volume snapshot ls",
    "volume snapshot remove": "volume snapshot rm",
    "pool list": "pool ls",
    "kernel list": "kernel ls",
    "kernel remove": "kernel rm",
    "pod list": "pod ls",
    "pod remove": "pod rm",
}


def entries() -> dict[str, tuple[str, str]]:
    """Return every command's path with where it is and its summary, without aliases."""
    found = dict(_SUMMARIES)
    for group, (_, members) in GROUPS.items():
        found.update(
            {f"{group} {name}": (where, summary) for name, where, summary in members if where}
        )
    return found


def find(path: str) -> tuple[str, str] | None:
    """Return where the command `path` is and its summary, None when there is none."""
    path = ALIASES.get(path, path)
    if path == "__complete":
        return "complete", "Names for completion"
    group, _, name = path.rpartition(" ")
    if not group:
        return _SUMMARIES.get(name)
    for member, where, summary in GROUPS[group][1]:
        if member == name:
            return where, summary
    return None


def load(where: str) -> "Command":
    """Import and return the command at `where` (a module of hyper.cli.commands, and its
    attribute)."""
    module, _, attribute = where.partition(":")
    name = f"hyper.cli.commands.{module}"
    __import__(name)
    import sys

    command: Command = getattr(sys.modules[name], attribute or "COMMAND")
    return command
