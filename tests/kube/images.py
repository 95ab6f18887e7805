"""Owns the stand-ins for images that manifests name: busybox with what each is asked for."""

from pathlib import Path

from tests.support.userland import Entry, ImageRecipe, busybox_layer, save

_NGINX = """#!/bin/sh
httpd -f -p 80 -h /usr/share/nginx/html &
trap "kill $!" TERM
wait $!
"""
# liveness: well for three seconds; late: serves after two; pause: waits.
_AGNHOST = """#!/bin/sh
mkdir -p /tmp/site
case "$1" in
liveness)
    touch /tmp/site/healthz
    (sleep 3; rm /tmp/site/healthz) &
    exec httpd -f -p 8080 -h /tmp/site ;;
late)
    sleep 2
    touch /tmp/site/healthz
    exec httpd -f -p 8080 -h /tmp/site ;;
*)
    exec sleep 86400 ;;
esac
"""
_REDIS = """#!/bin/sh
cat "$1"
mkdir -p /tmp/redis
echo PONG > /tmp/redis/PING
exec httpd -f -p 6379 -h /tmp/redis
"""
_HELLO = """#!/bin/sh
mkdir -p /tmp/hello
echo "Hello, world!" > /tmp/hello/index.html
exec httpd -f -p 8080 -h /tmp/hello
"""
# Debian's busybox has none.
_PRINTENV = """#!/bin/sh
for name; do env | sed -n "s/^$name=//p"; done
"""
PLAIN = (
    "busybox:latest",
    "busybox:1.28",
    "registry.k8s.io/busybox:1.27.2",
    "debian:latest",
    "alpine:latest",
)


def _program(name: str, text: str) -> Entry:
    return Entry(f"usr/bin/{name}", text.encode(), mode=0o755)


def save_stand_ins(path: Path) -> Path:
    """Write a `docker save` archive of every image the manifests name, and return its path."""
    base = [*busybox_layer(), _program("printenv", _PRINTENV)]
    pages = [
        Entry("usr/share"),
        Entry("usr/share/nginx"),
        Entry("usr/share/nginx/html"),
        Entry("usr/share/nginx/html/index.html", b"Welcome to nginx!\n", mode=0o644),
    ]
    made = {
        "nginx:1.14.2": ([*pages, _program("nginx", _NGINX)], {"Cmd": ["nginx"]}),
        "nginx:latest": ([*pages, _program("nginx", _NGINX)], {"Cmd": ["nginx"]}),
        "registry.k8s.io/e2e-test-images/agnhost:2.40": (
            [_program("agnhost", _AGNHOST)],
            {"Entrypoint": ["agnhost"], "Cmd": ["pause"]},
        ),
        "redis:8.0.2": ([_program("redis-server", _REDIS)], {"Cmd": ["redis-server"]}),
        "gcr.io/google-samples/hello-app:2.0": (
            [_program("hello", _HELLO)],
            {"Entrypoint": ["hello"], "Cmd": []},
        ),
    }
    recipes = [ImageRecipe(name, [base]) for name in PLAIN]
    recipes += [
        ImageRecipe(name, [base, entries], dict(config)) for name, (entries, config) in made.items()
    ]
    return save(recipes, path)
