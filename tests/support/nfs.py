"""Owns the NFS server of tests: that of the guest's own kernel, in a privileged busybox.

No daemon of nfs-utils runs: what rpc.mountd would answer is put into the kernel's caches beforehand
(linux/fs/nfsd/export.c, linux/net/sunrpc/svcauth_unix.c), for every address of the network.
"""

from tests.support.daemon import Result
from tests.support.pods import BOX, Hyper

# nfsd.export: 0x2000 has an fsid, 0x400 no subtree check, 2 any port; owners as they are.
_SERVE = """
set -e
mkdir -p /var/lib/nfs/v4recovery
mount -t nfsd nfsd /proc/fs/nfsd
cd /proc/net/rpc
for i in $(seq 1 254); do echo "nfsd {prefix}.$i 2147483647 all" > auth.unix.ip/channel; done
echo "all /export 2147483647 9218 65534 65534 0" > nfsd.export/channel
echo 'all 1 \\x00000000 2147483647 /export' > nfsd.fh/channel
cd /proc/fs/nfsd
echo "-2 -3 +4" > versions
echo 2 > threads
echo Y > v4_end_grace
mkdir /export/below
echo "from the server" > /export/greeting
echo serving
exec sleep 1000
"""


def serve(hyper: Hyper, name: str, network: str, prefix: str) -> Result:
    """Start a server that exports its /export to `prefix`.1 to .254; return once it serves."""
    script = _SERVE.replace("{prefix}", prefix)
    options = ("--name", name, "--network", network, "--tmpfs", "/export")
    hyper("run", "-d", "--privileged", *options, BOX, "sh", "-c", script)
    return hyper("exec", name, "sh", "-c", "until [ -e /export/greeting ]; do sleep 0.1; done")
