"""Owns /metrics, for Prometheus."""

from collections import Counter

from aiohttp import web

from hyper.api.call import Call
from hyper.api.render import metrics as render


async def show(call: Call) -> web.StreamResponse:
    """GET /metrics"""
    engine = call.engine
    pods = engine.pods.list()
    traffic = engine.images.shelf.http.traffic
    now = render.Gauges(
        pods=Counter(str(view.state) for view in pods),
        containers=Counter(str(view.state) for view in engine.containers.list(all=True)),
        vms=sum(view.vmm_pid > 0 for view in pods),
        waiting=sum(engine.waiting_vms().values()),
        images=len(engine.images.list()),
        received_bytes=traffic.received_bytes,
        sent_bytes=traffic.sent_bytes,
    )
    body = render.text(engine.metrics, now).encode()
    return web.Response(body=body, headers={"Content-Type": render.CONTENT_TYPE})
