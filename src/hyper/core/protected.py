"""Owns which paths of /proc and /sys containers find masked or read-only. Masks nothing itself.

The defaults are those of moby oci/defaults.go.
"""

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def protected(
    configured: tuple[str, ...] | None, default: tuple[str, ...], privileged: bool
) -> tuple[str, ...]:
    """Return masked or read-only paths: the user's own, none when privileged, else the default."""
    if configured is not None:
        return configured
    return () if privileged else default
