"""Owns the NFS server of tests: that of the guest's own kernel, in a privileged busybox.

No daemon of nfs-utils runs: what rpc.mountd would answer is put into the kernel's caches beforehand
(linux/fs/nfsd/export.c, linux/net/sunrpc/svcauth_unix.c), for every address of the network. NFS 3
asks mountd itself: a shell script answers at port 635 (RFC 1813, appendix I).
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
(while :; do nc -l -p 111 -e sh /answers rpcbind; done) &
until netstat -ltn | grep -q :111; do sleep 0.1; done
echo "-2 +3 +4" > versions
echo 2 > threads
echo Y > v4_end_grace
exec 3<>filehandle
echo "all /export 64" >&3
read handle <&3
echo "$handle" > /handle
exec 3>&-
(while :; do nc -l -p 635 -e sh /answers mountd; done) &
mkdir /export/below
echo "from the server" > /export/greeting
echo serving
exec sleep 1000
"""


# The kernel's server of NFS 3 wants to be known to rpcbind, which here agrees to everything. A call
# is its length, xid and seven words, of which the fifth is the procedure: 1 for MNT.
_ANSWERS = """
bytes() { dd bs=1 count="$1" 2>/dev/null | od -An -v -tx1 | tr -d ' \\n'; }
write() { printf "$(echo "$1" | sed 's/../\\\\x&/g')"; }
accepted=00000001000000000000000000000000 # REPLY, MSG_ACCEPTED, no verifier, SUCCESS follows
while mark=$(bytes 4); [ -n "$mark" ]; do
    call=$(bytes $((0x$mark & 0x7fffffff)))
    reply=$(echo "$call" | cut -c1-8)${accepted}00000000
    if [ "$1" = rpcbind ]; then
        reply=${reply}00000001
    elif [ "$(echo "$call" | cut -c41-48)" = 00000001 ]; then
        handle=$(cat /handle | sed 's/.*x//')
        reply=${reply}00000000$(printf %08x $((${#handle} / 2)))${handle}0000000100000001
    fi
    write "$(printf %08x $((0x80000000 | ${#reply} / 2)))$reply"
done
"""


def serve(hyper: Hyper, name: str, network: str, prefix: str) -> Result:
    """Start a server that exports its /export to `prefix`.1 to .254; return once it serves."""
    answers = f"cat > /answers <<'END'\n{_ANSWERS}END\n"
    script = answers + _SERVE.replace("{prefix}", prefix)
    options = ("--name", name, "--network", network, "--tmpfs", "/export")
    hyper("run", "-d", "--privileged", *options, BOX, "sh", "-c", script)
    return hyper("exec", name, "sh", "-c", "until [ -e /export/greeting ]; do sleep 0.1; done")
