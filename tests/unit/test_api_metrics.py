"""GET /metrics, read by Prometheus' own parser; and the log's formats."""

import json
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hyper.api.server import Server
from hyper.core.errors import InvalidArgument
from hyper.core.metrics import Histogram
from hyper.engine.settings import load_settings
from hyper.host.logs import JsonFormatter
from tests.support.api_client import Client
from tests.support.fake_engine import FakeEngine
from tests.support.ports import free_port

Served = tuple[FakeEngine, Client]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _parse(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, f"{family.name} has no HELP"
        assert family.type in ("counter", "gauge", "histogram"), f"{family.name}: {family.type}"
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


async def _scrape(client: Client) -> Samples:
    reply = await client("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return _parse(reply.data.decode())


async def test_states_are_counted_when_asked(client: Client) -> None:
    await client.run("sleep")
    await client.create("sleep")
    found = await _scrape(client)
    assert found["hyper_containers", (("state", "running"),)] == 1
    assert found["hyper_containers", (("state", "created"),)] == 1
    assert found["hyper_containers", (("state", "exited"),)] == 0
    assert found["hyper_waiting_vms", ()] == 2
    assert found["hyper_images", ()] == 1
    assert found["hyper_registry_received_bytes_total", ()] == 1234
    assert found["hyper_registry_sent_bytes_total", ()] == 56
    assert found["process_resident_memory_bytes", ()] > 1 << 20
    assert found["process_open_fds", ()] > 3


async def test_requests_and_errors_are_counted_by_class(client: Client) -> None:
    await client("GET", "/containers/nobody/json")
    await client("GET", "/containers/nobody/json")
    await client("GET", "/nowhere")
    found = await _scrape(client)
    asked = (("code", "404"), ("operation", "ContainerInspect"))
    assert found["hyper_api_requests_total", asked] == 2
    assert found["hyper_api_requests_total", (("code", "404"), ("operation", ""))] == 1
    assert found["hyper_api_errors_total", (("class", "NotFound"),)] == 2
    assert found["hyper_api_errors_total", (("class", "PageNotFound"),)] == 1


async def test_start_times_are_a_cumulative_histogram(served: Served) -> None:
    engine, client = served
    for seconds in (0.01, 0.3, 0.31, 100.0):
        engine.metrics.starts.observe(seconds)
    found = await _scrape(client)
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "hyper_container_start_seconds_bucket"
    }
    assert buckets["0.025"] == 1
    assert buckets["0.3"] == 2
    assert buckets["0.5"] == 3
    assert buckets["30.0"] == 3
    assert buckets["+Inf"] == found["hyper_container_start_seconds_count", ()] == 4
    assert found["hyper_container_start_seconds_sum", ()] == pytest.approx(100.62)


async def test_labels_are_escaped(served: Served) -> None:
    engine, client = served
    engine.metrics.errors['a"b\\c\nd'] += 1
    assert (await _scrape(client))["hyper_api_errors_total", (("class", 'a"b\\c\nd'),)] == 1


def test_a_value_on_a_bound_counts_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(1.0)
    histogram.observe(2.5)
    assert histogram.counts == [1, 0, 1]


async def test_the_metrics_address_serves_nothing_else(served: Served, run_dir: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = Server(served[0])  # type: ignore[arg-type]  # it has the parts that the API uses
    await server.serve_metrics(address)
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/metrics") as answer:
                assert answer.status == 200
                assert _parse(await answer.text())
            for path in ("/containers/json", "/v1.50/info", "/_ping"):
                async with session.get(f"http://{address}{path}") as answer:
                    assert answer.status == 404, path
    finally:
        await server.stop()


def test_a_record_is_one_json_object_on_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as err:
        record = logging.LogRecord(
            "engine.pod.abc", logging.WARNING, "x.py", 1, 'it "%s"\nbroke', ("x",),
            (ValueError, err, err.__traceback__),
        )  # fmt: skip
    line = JsonFormatter().format(record)
    assert "\n" not in line
    shown = json.loads(line)
    assert shown["level"] == "warning"
    assert shown["logger"] == "engine.pod.abc"
    assert shown["msg"] == 'it "x"\nbroke'
    assert shown["error"].endswith("ValueError: two\nlines")
    assert shown["time"].endswith("Z") and "T" in shown["time"]


async def test_the_lines_of_a_request_have_its_number(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "api.access")
    caplog.set_level(logging.INFO, "api.server")
    formatted: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            formatted.append(json.loads(JsonFormatter().format(record)))

    handler = Keep()
    logging.getLogger("api").addHandler(handler)
    try:
        await client("GET", "/_ping")
        await client("GET", "/images/search?term=x")
    finally:
        logging.getLogger("api").removeHandler(handler)
    ping, failed, search = formatted
    assert (ping["operation"], ping["status"]) == ("SystemPing", 200) and ping["seconds"] >= 0
    assert failed["level"] == "info" and "ImageSearch is not supported" in failed["msg"]
    assert failed["request"] == search["request"] != ping["request"]


def test_the_configuration_file_chooses_the_logs_format(run_dir: Path) -> None:
    path = run_dir / "daemon.json"
    path.write_text('{"log-format": "json", "metrics-addr": "127.0.0.1:9323"}')
    settings = load_settings(path)
    assert (settings.log_format, settings.metrics_address) == ("json", "127.0.0.1:9323")
    path.write_text('{"log-format": "xml"}')
    with pytest.raises(InvalidArgument, match="log-format: invalid log format: xml"):
        load_settings(path)
