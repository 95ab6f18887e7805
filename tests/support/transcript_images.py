"""Owns the images that transcripts use: busybox, and some whose configurations say more."""

from pathlib import Path

from tests.support.userland import Entry, ImageRecipe, busybox_layer, save


def save_images(path: Path) -> Path:
    """Write an archive with busybox, `web` (a service) and `data` (volumes with owners)."""
    base = busybox_layer()
    page = [Entry("www"), Entry("www/index.html", b"hello\n", mode=0o644)]
    kept = [
        Entry("data", owner=(33, 33), mode=0o750),
        Entry("data/seed", b"from the image\n", owner=(33, 33), mode=0o640),
        Entry("data/link", target="seed", owner=(33, 33)),
    ]
    return save(
        [
            ImageRecipe("busybox:latest", [base]),
            ImageRecipe(
                "web:1",
                [base, page],
                {
                    "Cmd": ["httpd", "-f", "-p", "80", "-h", "/www"],
                    "ExposedPorts": {"80/tcp": {}},
                    "Labels": {"role": "web", "team": "blue"},
                    "WorkingDir": "/www",
                    "Env": ["PATH=/usr/bin:/bin", "COLOUR=blue"],
                    "StopSignal": "SIGKILL",
                },
            ),
            ImageRecipe(
                "data:1",
                [base, kept],
                {
                    "Entrypoint": ["sh", "-c"],
                    "Cmd": ["id -u; id -g; pwd"],
                    "User": "www-data",
                    "Volumes": {"/data": {}},
                    "WorkingDir": "/data",
                },
            ),
        ],
        path,
    )
