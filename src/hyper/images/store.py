"""The image store's face: all that the rest of Hyper does with images. Holds no logic of its
own."""

from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from hyper.images import archive_load, archive_save, build, pull, reference, removal
from hyper.images.catalog import Image
from hyper.images.credentials import Credentials
from hyper.images.http import RegistryOptions
from hyper.images.layerfilter import Limits
from hyper.images.manifest import Platform
from hyper.images.removal import Removal, Uses
from hyper.images.shelf import Report, Shelf, silent


class ImageStore:
    """Images below one directory that nobody else writes; opening it removes stale files.

    The parts are in `shelf`: push, history and disk usage are functions on it.
    """

    def __init__(
        self,
        root: Path,
        platform: str = "",
        options: RegistryOptions | None = None,
        limits: Limits | None = None,
    ) -> None:
        wanted = Platform.parse(platform) if platform else Platform.host()
        self.shelf = Shelf(root, wanted, options or RegistryOptions(), limits or Limits())

    async def pull(
        self,
        name: str,
        *,
        auth: Credentials | None = None,
        platform: str = "",
        progress: Report = silent,
    ) -> Image:
        """Pull an image. Raises NotFound, Unauthorized, Unavailable, InvalidArgument, Failure."""
        return await pull.pull(self.shelf, name, auth, platform, progress)

    async def load(
        self,
        source: AsyncIterator[bytes] | Path,
        *,
        platform: Platform | None = None,
        progress: Report = silent,
    ) -> Sequence[archive_load.Loaded]:
        """Load all images of a docker-save or OCI-layout archive, of `platform` if it is given.

        Raises Failure, NotFound when an image is of another platform.
        """
        return await archive_load.load(self.shelf, source, progress, platform)

    def save(self, names: Sequence[str]) -> AsyncIterator[bytes]:
        """Yield an archive of images that docker load, podman load and skopeo read.

        Raises NotFound at the first step.
        """
        return archive_save.save(self.shelf, names)

    async def create(
        self,
        layer: AsyncIterator[bytes] | None,
        change: build.Change,
        *,
        base: str = "",
        name: str = "",
    ) -> Image:
        """Make an image: `base`, or nothing, with a layer more (a tar) and a changed config.

        This is import, commit and each step of a build. Raises NotFound, InvalidArgument, Failure.
        """
        return await build.create(self.shelf, layer, change, base=base, name=name)

    def list(self) -> Sequence[Image]:
        """Return all images, newest first."""
        state = self.shelf.catalog.state
        images = [self.shelf.image(k) for k, r in state.images.items() if not r.hidden]
        return sorted(images, key=lambda image: image.created, reverse=True)

    def get(self, name: str) -> Image:
        """Return the image with this name, id or unique beginning of an id. Raises NotFound."""
        return self.shelf.image(self.shelf.find(name)[0])

    async def tag(self, source: str, target: str) -> Image:
        """Give an image one more name. Raises NotFound, InvalidArgument."""
        image_id = self.shelf.find(source)[0]
        await self.shelf.name(str(reference.parse_tag(target)), image_id)
        return self.shelf.image(image_id)

    async def remove(
        self, name: str, *, force: bool = False, prune: bool = True, used_by: Uses | None = None
    ) -> Sequence[Removal]:
        """Remove a name, and the image with its last one. Raises NotFound, Conflict."""
        return await removal.remove(
            self.shelf, name, force=force, prune=prune, used_by=used_by or {}
        )

    async def prune(
        self, candidates: Sequence[Image], *, dangling: bool = True, used_by: Uses | None = None
    ) -> tuple[Sequence[Removal], int]:
        """Remove the unused ones of these images; return what was done and the bytes freed."""
        return await removal.prune(self.shelf, candidates, dangling=dangling, used_by=used_by or {})

    async def chain(self, image: Image) -> tuple[Path, ...]:
        """Return the image's disks, base first, each a multiple of 4 KiB; made where missing.

        Raises NotFound when a layer is gone, Failure when a disk cannot be made.
        """
        return await self.shelf.layers.chain(image.diff_ids)

    async def collect_garbage(self, in_use: Collection[str] = ()) -> int:
        """Remove what no image needs; `in_use` are ids of images of containers. Returns bytes."""
        return await self.shelf.collect(in_use)

    async def close(self) -> None:
        """Close the connections to registries."""
        await self.shelf.http.close()
