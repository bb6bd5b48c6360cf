"""Schemathesis over the whole OpenAPI: no server error, whatever is sent."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from src.accounts.rights import Right, Role

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def _fuzz(client, examples, description="/openapi.json", only="", head=None):
    """Every operation with so many generated requests (schemathesis' own pytest plugin wants an
    older pytest).
    """
    schema = schemathesis.openapi.from_asgi(description, client.app, headers=head or {})
    names = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if not operation.path.startswith(only):
            continue
        names.append(operation.label)

        @settings(max_examples=examples, **QUIET)
        @given(case=operation.as_strategy())
        def try_it(case):
            if case.path == "/generate-video":
                case.headers = {**(case.headers or {}), "Prefer": "respond-async"}
            if case.path == "/jobs/events":
                case.query = {**(case.query or {}), "seconds": 0}
            case.headers = {**(case.headers or {}), **(head or {})}
            case.call_and_validate(checks=[not_a_server_error])

        try_it()
    return names


def test_no_server_error(client):
    assert len(_fuzz(client, 6)) >= 16


def test_no_server_error_in_the_words_of_openai(client):
    assert len(_fuzz(client, 12, "/v1/openapi.json")) == 10


def test_no_server_error_where_clips_are_approved(make_client):
    client = make_client(approval="on")
    secret, _ = client.app.state.service.accounts.create(
        "all", Role.ADMIN, 1000, 100_000, rights=[Right.APPROVE, Right.RELEASE], person="Anna"
    )
    head = {"Authorization": f"Bearer {secret}"}
    assert len(_fuzz(client, 25, only="/releases", head=head)) == 10


@pytest.mark.soak
def test_no_server_error_for_long(client):
    assert len(_fuzz(client, 300)) >= 16
    assert len(_fuzz(client, 300, "/v1/openapi.json")) == 10


def test_the_openapi_names_every_route_and_its_errors(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/generate-video", "/health", "/ready", "/artifacts/{filename}",
            "/artifacts/{filename}/manifest", "/jobs", "/jobs/{job_id}", "/jobs/events",
            "/jobs/{job_id}/picture", "/jobs/{job_id}/photograph", "/jobs/{job_id}/events",
            "/jobs/{job_id}/cancel", "/jobs/{job_id}/retry", "/api/upload", "/api/status/{task_id}",
            "/api/progress/{task_id}", "/api/download/{task_id}", "/api/cancel/{task_id}",
            "/metrics"} <= set(paths)  # fmt: skip
    for path, methods in paths.items():
        for operation in methods.values():
            assert operation["summary"]
            assert "401" in operation["responses"] or path in ("/health", "/ready")
