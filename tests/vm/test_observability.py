"""What a real daemon says of itself: metrics of real containers, and logs as JSON."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon import Daemon
from tests.support.leaks import settle
from tests.support.ports import free_port


def test_metrics_and_json_logs_of_a_container(
    start_daemon: Callable[..., Daemon], busybox_archive: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    daemon = start_daemon({"log-format": "json", "metrics-addr": address})

    def value(name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            (found,) = (
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == name and sample.labels == labels
            )
        return found

    daemon.hyper("load", "--quiet", "--input", str(busybox_archive))
    daemon.hyper("run", "-d", "--name", "up", "busybox", "sleep", "1000")
    daemon.hyper("run", "--rm", "-i", "busybox", "cat", input="x" * 5000)
    assert settle(lambda: value("hyper_vms") > 1), "the VM of the container with --rm is left"
    assert value("hyper_vms") == 1
    assert value("hyper_pods", state="running") == 1
    assert value("hyper_containers", state="running") == 1
    assert value("hyper_container_start_seconds_count") == 2
    assert value("hyper_stream_bytes_total", stream="stdin") == 5000
    assert value("hyper_stream_bytes_total", stream="stdout") == 5000
    daemon.hyper("run", "--rm", "busybox", "no-such-program", status=127)
    assert value("hyper_container_start_failures_total", **{"class": "GuestError"}) == 1
    daemon.hyper("rm", "--force", "up")
    assert settle(lambda: value("hyper_vms") > 0), "a VM is left"

    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert all({"time", "level", "logger", "msg"} <= set(line) for line in lines)
    assert any(line["logger"].startswith("engine.pod") for line in lines)
