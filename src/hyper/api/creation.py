"""Owns creating a container for a client: what it takes over from its image, and what becomes of
it when it does not start."""

import contextlib
from dataclasses import replace

from hyper.api.call import Call
from hyper.core.errors import Conflict, NotFound
from hyper.core.spec import ContainerSpec, PortBinding
from hyper.engine.views import ContainerView
from hyper.images.catalog import Image
from hyper.schema.ports import parse_port


async def create_container(
    call: Call, spec: ContainerSpec, name: str, *, attached: bool = False
) -> ContainerView:
    """Create a container; `attached`: for who is attached to it. Raises what the engine raises."""
    image = call.engine.images.get(spec.image)
    return await call.engine.containers.create(inherit(spec, image), name, attached=attached)


async def remove_unstarted(call: Call, view: ContainerView) -> None:
    """Remove a container that could not start if it has AutoRemove, as dockerd does.

    The docker command waits for that removal. One that is active, whoever started it, stays.
    """
    if view.spec.auto_remove:
        with contextlib.suppress(NotFound, Conflict):
            await call.engine.containers.remove(view.id, volumes=True)


def inherit(spec: ContainerSpec, image: Image) -> ContainerSpec:
    """Return a specification with the image's labels and exposed ports, the user's own first.

    With `publish_all` every exposed port that is not published gets a free port of the host.
    """
    labels = dict(image.config.labels) | dict(spec.labels)
    exposed = tuple(dict.fromkeys((*spec.exposed_ports, *image.config.exposed_ports)))
    ports = spec.ports
    if spec.publish_all:
        published = {(port.container_port, port.protocol) for port in ports}
        wanted = [pair for text in exposed for pair in parse_port(text)]
        ports += tuple(PortBinding(*pair) for pair in wanted if pair not in published)
    return replace(spec, labels=tuple(labels.items()), exposed_ports=exposed, ports=ports)
