"""Spans: what a collector of OpenTelemetry hears of a request."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.test_command_line import run, said
from tests.conformance.client import Client
from tests.servers import ServerProcess, free_port

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WAIT_SECONDS = 40.0


class Collector:
    """Takes spans."""

    def __init__(self) -> None:
        """Listen."""
        self.spans: list[Any] = []
        heard = self.spans

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                heard.extend(span for group in said.resource_spans for scope in group.scope_spans for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Any]:
        """Return the spans of this name, once there are any."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := [span for span in list(self.spans) if span.name == name]):
            assert time.monotonic() < end, {span.name for span in self.spans}
            time.sleep(0.05)
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Listen for spans."""
    one = Collector()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.mark.parametrize("metrics", ["local", "off"])
async def test_a_request_is_a_span_with_its_steps(collector: Collector, tmp_path: Path, metrics: str) -> None:
    """It goes on with the client's own trace; its transactions are spans beneath it; figures may be on or off."""
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "TUSFM_METRICS": metrics}
    with ServerProcess(tmp_path / "server", settings) as server:
        async with Client([server.url]) as client:
            url = await client.made(5)
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert (await client.patch(url, 0, b"hello", headers)).status == 204
            assert (await client.ask("GET", "/metrics")).status == (200 if metrics == "local" else 404)
        patch = collector.named("PATCH /files/{id}")[0]
        about = {one.key: one.value for one in patch.attributes}
        assert (patch.trace_id.hex(), patch.parent_span_id.hex()) == (TRACE, PARENT)
        assert about["http.response.status_code"].int_value == 204
        beneath = [span.name for span in collector.named("database write") if span.parent_span_id == patch.span_id]
        assert set(beneath) == {"database write"}


def test_a_collector_that_is_away_is_no_trouble(tmp_path: Path) -> None:
    """The server serves, and its log does not fill with it."""
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with ServerProcess(tmp_path / "server", away) as server:
        time.sleep(1)
        assert "ERROR" not in server.log()
        assert "WARNING" not in server.log()


def test_what_is_not_installed_is_a_sentence(tmp_path: Path) -> None:
    """A server that shall send spans and cannot says how to mend that."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    search = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    done = run(tmp_path, "serve", "--port", "0", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **search)
    assert (done.returncode, "pip install 'tusfm[otel]'" in said(done)) == (1, True)
