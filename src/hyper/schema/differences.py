"""Owns what a client may notice besides endpoints and fields: each difference to dockerd 20.10.

The transcripts of tests/api mark every line that differs with one of these names.
"""

DIFFERENCES = {
    "words of a failed start": (
        "no runc starts processes: a program that cannot be run is told as `failed to start the "
        "container's process: exec: ...`, and an exec of one that is not there ends with 127, as "
        "with newer dockerds (20.10: 126)"
    ),
    "words of newer versions": (
        "where dockerd 28 says more than 20.10, its words are used: an unknown restart policy, an "
        "image that is not there, what a filter cannot take"
    ),
    "says what to do": (
        "some messages go on where dockerd's end, to tell what is possible instead, or to say what "
        "was being done"
    ),
    "no swap": "MemorySwap stays what was asked for; dockerd shows twice the memory",
    "network mode default": "inspect shows the network mode default as bridge, as dockerd 26 does",
    "resolved at create": (
        "the container that --network container:NAME names must exist when the other is created, "
        "as that puts it into its pod; dockerd looks for it at the start"
    ),
    "prune of volumes": (
        "from API 1.42 on `volume prune` takes anonymous volumes unless told `all`, as dockerd 23 "
        "does; before, all that are not used"
    ),
    "versions of the command": (
        "what the docker command checks before it asks, its versions word differently; the hyper "
        "command leaves some of those checks to the daemon, and `hyper cp -a` keeps owners on the "
        "way out of a container as well"
    ),
}

# What no transcript of the docker command shows.
ELSEWHERE = {
    "a registry that does not answer": (
        "is 503 before the first line of progress, where dockerd says 500; the words are dockerd's"
    ),
    "a broken X-Registry-Auth": (
        "is 400: dockerd goes on without credentials, and says later that access is denied"
    ),
    "bad parameters": "are 400 where dockerd 20.10 says 500, as with newer dockerds",
    "a listener that does not read": (
        "loses no event: after 1024 that wait for it, it reads on from the stored ones, of which "
        "the last 4096 are kept, over restarts as well; dockerd keeps 256 in memory, and drops "
        "what comes for who takes too long"
    ),
    "a client that does not read": (
        "hinders nobody: what it has still to read waits in a file, and the process, its log and "
        "the other clients go on, where dockerd holds all of them back once it is 1 MB behind. "
        "Only from 1 GiB on it holds back its stream, until the process is killed"
    ),
    "the daemon's socket in a container": (
        "cannot be reached through a bind mount: another kernel would have to listen. "
        "Testcontainers' reaper wants that, so set TESTCONTAINERS_RYUK_DISABLED=true"
    ),
}
