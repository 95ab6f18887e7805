"""Owns the parameter `platform` of what concerns images: an OCI platform as a JSON object.

Containers and pulls name one as os/arch/variant instead: `images.manifest.Platform.parse`.
"""

from hyper.api.call import Call, Version
from hyper.core import gojson
from hyper.core.errors import InvalidArgument
from hyper.core.values import read_object, read_string
from hyper.images.catalog import Image
from hyper.images.manifest import Platform


def asked_platform(call: Call, since: Version) -> Platform | None:
    """Return the platform a request names, None for none or for clients older than `since`.

    Raises InvalidArgument.
    """
    text = call.text("platform")
    return read_platform(text) if text and call.version >= since else None


def read_platform(text: str) -> Platform:
    """Return a platform from JSON (moby httputils.DecodePlatform). Raises InvalidArgument."""
    try:
        body = read_object(gojson.loads(text.encode()), "platform")
    except (ValueError, RecursionError) as err:
        raise InvalidArgument(f"failed to parse platform: {err}") from err
    system, architecture, variant = (
        read_string(body.get(key) or "", f"platform.{key}")
        for key in ("os", "architecture", "variant")
    )
    if not system or not architecture:
        raise InvalidArgument("both OS and Architecture must be provided")
    return Platform.parse("/".join(part for part in (system, architecture, variant) if part))


def check_platform(call: Call, image: Image, reference: str, since: Version) -> Image:
    """Return an image that is of the platform asked for, if one is.

    The store keeps one platform of each image. Raises NotFound, InvalidArgument.
    """
    if wanted := asked_platform(call, since):
        image.check_platform(wanted, reference)
    return image
