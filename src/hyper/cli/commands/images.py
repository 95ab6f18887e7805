"""hyper images: the list of images."""

from hyper.cli.command import Command, Invocation
from hyper.cli.flags import BOOL, FILTER, TEXT, Flag
from hyper.cli.listing import DANGLING, ago, local_time, short_id, show
from hyper.cli.usage_texts import FORMAT_HELP
from hyper.sdk import answers

_FIELDS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
_DIGEST_FIELDS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}


def images(call: Invocation) -> int:
    """List images."""
    options = call.options
    filters = options.filters()
    if call.arguments:
        filters.setdefault("reference", []).append(call.arguments[0])
    layout = options.text("format")
    digests = options.on("digests") or ".Digest" in layout
    found = answers.objects(
        call.daemon.call("GET", "/images/json", {"all": options.on("all"), "filters": filters})
    )
    full = options.on("no-trunc")
    rows = [row for item in found for row in image_rows(item, digests, full)]
    fields = _DIGEST_FIELDS if options.on("digests") else _FIELDS
    show(rows, layout, fields, HEADERS, "ID" if options.on("quiet") else "")
    return 0


def image_rows(
    item: dict[str, object], digests: bool = False, full: bool = False
) -> list[dict[str, object]]:
    """Return one row for each name of an image, one without a name when it has none."""
    from hyper.core.units import human_size

    created = answers.number(item, "Created")
    common: dict[str, object] = {
        "ID": short_id(answers.text(item, "Id"), full),
        "CreatedSince": ago(created) if created else "N/A",
        "CreatedAt": local_time(created),
        "Size": human_size(answers.number(item, "Size")),
        "VirtualSize": human_size(answers.number(item, "Size"), 4),
        "Containers": _count(item, "Containers"),
        "SharedSize": _count(item, "SharedSize"),
        "UniqueSize": "N/A",
    }
    return [
        {**common, "Repository": repository, "Tag": tag, "Digest": digest}
        for repository, tag, digest in _names(item, digests)
    ]


def _count(item: dict[str, object], name: str) -> str:
    value = item.get(name)
    return str(value) if isinstance(value, int) and value >= 0 else "N/A"


def _names(item: dict[str, object], digests: bool) -> list[tuple[str, str, str]]:
    tags: dict[str, list[str]] = {}
    for name in answers.strings(item, "RepoTags"):
        repository, _, tag = name.rpartition(":")
        if repository != DANGLING:
            tags.setdefault(repository, []).append(tag)
    known: dict[str, list[str]] = {}
    for name in answers.strings(item, "RepoDigests"):
        repository, _, digest = name.rpartition("@")
        if repository != DANGLING:
            known.setdefault(repository, []).append(digest)
    result = []
    for repository, names in tags.items():
        shown = (known.get(repository) if digests else None) or [DANGLING]
        result += [(repository, tag, digest) for digest in shown for tag in names]
    for repository, found in known.items():
        if repository not in tags:
            shown = found if digests else [DANGLING]
            result += [(repository, DANGLING, digest) for digest in shown]
    return result or [(DANGLING, DANGLING, DANGLING)]


COMMAND = Command(
    images,
    "[OPTIONS] [REPOSITORY[:TAG]]",
    maximum=1,
    names="image",
    flags=(
        Flag("all", BOOL, "Show all images (default hides intermediate images)", short="a"),
        Flag("digests", BOOL, "Show digests"),
        Flag("filter", FILTER, "Filter output based on conditions provided", short="f"),
        Flag("format", TEXT, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only show image IDs", short="q"),
    ),
)
