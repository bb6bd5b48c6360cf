"""One trace from the request to each stage of its job; a receiver of our own speaks OTLP."""

import httpx
import pytest

from tests.receiver import receiver
from tests.service.browser_kit import CLIP
from tests.waiting import wait_until

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="requirements-fleet.txt")
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector():
    """A URL, and (service, span) of all that came."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = []

    def take(data):
        for one in ExportTraceServiceRequest.FromString(data).resource_spans:
            named = {each.key: each.value.string_value for each in one.resource.attributes}
            for scope in one.scope_spans:
                spans.extend((named["service.name"], each) for each in scope.spans)

    with receiver(take) as host:
        yield f"http://{host}", spans


def test_a_request_its_job_and_the_stages_are_one_trace(running, collector, photograph):
    url, spans = collector
    service = running(
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_BSP_SCHEDULE_DELAY="200",
        NEWSREEL_FAKE_CLIP=str(CLIP),
        NEWSREEL_FAKE_SECONDS="0.2",
    )
    service.start().ready("/ready")
    answer = httpx.post(
        f"{service.url}/generate-video", timeout=60, data={"prompt": "pan left"},
        files={"image": ("a.png", photograph.read_bytes())},
        headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
    )  # fmt: skip
    assert answer.status_code == 200

    def ours():
        return {each.name: (part, each) for part, each in spans if each.trace_id.hex() == TRACE}

    wait_until(lambda: {"POST /generate-video", "job generate", "denoise"} <= set(ours()))
    found = ours()
    (api, request), (worker, job), (_, stage) = (
        found[name] for name in ("POST /generate-video", "job generate", "denoise")
    )
    assert (api, worker) == ("newsreel-api", "newsreel-worker")
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert (job.parent_span_id, stage.parent_span_id) == (request.span_id, job.span_id)
    assert stage.end_time_unix_nano - stage.start_time_unix_nano >= 0.15e9
    assert "pan left" not in str(found)


def test_without_an_endpoint_nothing_is_imported(running):
    import subprocess
    import sys

    from src.core.paths import REPOSITORY

    code = (
        "import sys\n"
        "from src.console.tracing import span, stage_spans, start_tracing, traceparent\n"
        "start_tracing('api')\n"
        "with span('a'): stage_spans({'b': 1.0})\n"
        "print(traceparent(), any('opentelemetry' in name for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout.split() == ["None", "False"], done.stderr
