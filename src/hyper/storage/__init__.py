"""Disk space of containers on the host: writable disks and volumes. Mounts nothing."""
