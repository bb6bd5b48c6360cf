"""Whoever looks with a browser never meets JSON, from whichever place an error comes."""

import pytest

from src.database.trouble import UnavailableError

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}


def _is_page(answer):
    return answer.headers["content-type"].startswith("text/html") and 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("GET", "/jobs/" + "0" * 21, 404), ("GET", "/artifacts/none.mp4", 404),
     ("GET", "/jobs?limit=0", 422), ("PUT", "/login", 405), ("POST", "/jobs/x/cancel", 422)],
)  # fmt: skip
def test_errors_are_pages_for_browsers_and_json_for_programs(client, method, path, status):
    page = client.request(method, path, headers=BROWSER)
    assert (page.status_code, _is_page(page)) == (status, True)
    assert int(page.headers["content-length"]) == len(page.content)
    plain = client.request(method, path)
    assert plain.json()["status"] == status
    script = client.request(method, path, headers=BROWSER | {"Sec-Fetch-Mode": "cors"})
    assert script.json()["status"] == status


def test_a_bug_and_a_database_that_is_away_are_pages_too(client, monkeypatch):
    store = client.app.state.service.store

    def broken(*arguments):
        raise RuntimeError("boom")

    def away(*arguments):
        raise UnavailableError("away", "is away")

    for fails, status in ((broken, 500), (away, 503)):
        monkeypatch.setattr(store, "find", fails)
        answer = client.get("/", headers=BROWSER)
        assert (answer.status_code, _is_page(answer), "boom" in answer.text) == (
            status,
            True,
            False,
        )


def test_what_is_too_large_is_told_in_a_page(make_client, jpeg):
    client = make_client(work=False, auth="off", max_upload=1000)
    files = {"image": ("p.jpg", jpeg * 20, "image/jpeg")}
    answer = client.post(
        "/submit", data={"csrf": "open", "prompt": "p"}, files=files, headers=BROWSER
    )
    assert (answer.status_code, _is_page(answer)) == (413, True)
