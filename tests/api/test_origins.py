"""Other sites' pages: whose requests are heeded, under which names, and where a login leads."""

import pytest

from src.api.origins import Origins, local_path
from src.jobs.model import NewJob
from tests.api.conftest import log_in

HERE = "http://testserver"
CANCEL = "/jobs/" + "0" * 21 + "/cancel"


@pytest.fixture
def browser(make_client):
    """Logged in; its client, and the token of its pages."""
    client = make_client(work=False)
    accounts = client.app.state.service.accounts
    secret, account = accounts.create("desk", "submit", 1000, 1000)
    assert log_in(client, secret).status_code == 303
    return client, accounts.session(client.cookies["newsreel_session"]).csrf, secret, account


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Origin": HERE}, 303), ({"Referer": f"{HERE}/clips/x"}, 303), ({}, 303),
     ({"Origin": "null"}, 403), ({"Origin": "http://evil"}, 403), ({"Origin": f"{HERE}:8001"}, 403),
     ({"Origin": f"{HERE}.evil"}, 403), ({"Origin": "http://[::1"}, 403),
     ({"Referer": "http://evil/testserver"}, 403),
     ({"Origin": "http://evil", "Referer": HERE}, 403), ({"Sec-Fetch-Site": "same-site"}, 403)],
)  # fmt: skip
def test_a_form_with_the_right_token_must_come_from_our_own_page(browser, headers, status):
    client, csrf, _, account = browser
    job, _ = client.app.state.service.store.submit(NewJob("generate", account.id, {"prompt": "p"}))
    answer = client.post(f"/clips/{job.id}/cancel", data={"csrf": csrf}, headers=headers)
    assert answer.status_code == status
    assert client.post(f"/clips/{job.id}/cancel", data={"csrf": "other"}).status_code == 403


@pytest.mark.parametrize("origin", ["null", "http://evil"])
def test_an_open_service_heeds_no_other_sites_page_over_plain_http(client, origin):
    head = {"Origin": origin}
    assert client.post(CANCEL, headers=head).status_code == 403
    assert client.post("/generate-video", data={"prompt": "p"}, headers=head).status_code == 403
    assert client.post(CANCEL, headers={"Origin": HERE}).status_code == 404
    assert client.post(CANCEL).status_code == 404  # a program


def test_keys_in_headers_need_no_origin(browser):
    client, _, secret, _ = browser
    client.cookies.clear()
    head = {"Authorization": f"Bearer {secret}", "Origin": "http://evil"}
    assert client.post(CANCEL, headers=head).status_code == 404


def test_the_login_carries_a_token_and_leads_where_one_wanted_to_look(browser):
    client, _, secret, _ = browser
    client.cookies.clear()
    assert client.post("/login", data={"key": secret}).status_code == 403
    page = client.get("/login?next=/clips/abc%3Fx%3D1")
    assert 'name="next" value="/clips/abc?x=1"' in page.text
    assert client.post("/login", data={"key": secret, "csrf": "guess"}).status_code == 403
    answer = log_in(client, secret, next="/clips/abc")
    assert (answer.status_code, answer.headers["location"]) == (303, "/clips/abc")
    assert "samesite=lax" in answer.headers["set-cookie"].lower()
    assert "httponly" in answer.headers["set-cookie"].lower()
    wrong = log_in(client, "nr_wrong", next="/clips/abc")
    assert (wrong.status_code, 'value="/clips/abc"' in wrong.text) == (401, True)
    assert log_in(client, secret, next="//evil/").headers["location"] == "/"


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil",
        "https://evil",
        "/\\evil",
        "\\/evil",
        "/a\nb",
        "/a\tb",
        "evil",
        "javascript:alert(1)",
        "",
    ],
)
def test_next_is_a_path_of_this_service(wanted):
    assert local_path(wanted) == "/"
    assert local_path("/clips/a?b=c") == "/clips/a?b=c"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("localhost:8000", True), ("127.0.0.1:8000", True), ("[::1]:8000", True), ("10.1.2.3", True),
     ("news.example.org", True), ("NEWS.example.org:443", True), ("evil.example.org", False),
     ("", False), ("127.0.0.1.evil", False), ("[::1", False)],
)  # fmt: skip
def test_hosts_are_on_a_list(make_client, host, allowed):
    client = make_client(work=False, auth="off", hosts="news.example.org, other.example.org")
    assert client.get("/health", headers={"Host": host}).status_code == (200 if allowed else 403)


def test_a_service_with_keys_that_names_no_hosts_takes_any():
    assert Origins("", "", "on").allows_host("news.example.org")
    assert not Origins("", "", "off").allows_host("news.example.org")


def test_other_sites_read_nothing_unless_they_are_named(make_client):
    ask = {"Origin": "https://cms.example.org", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    closed = make_client(work=False, auth="off")
    assert "access-control-allow-origin" not in closed.get("/health", headers=ask).headers
    assert closed.options("/generate-video", headers=ask).status_code == 405
    opened = make_client(work=False, auth="off", origins="https://cms.example.org")
    answer = opened.options("/generate-video", headers=ask)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (
        200,
        ask["Origin"],
    )
    assert "access-control-allow-credentials" not in answer.headers
    assert opened.post(CANCEL, headers={"Origin": "https://cms.example.org"}).status_code == 404
    assert opened.post(CANCEL, headers={"Origin": "https://evil.example.org"}).status_code == 403


def test_who_may_only_look_logs_out_too(make_client):
    client = make_client(work=False)
    accounts = client.app.state.service.accounts
    secret, _ = accounts.create("looking", "read")
    log_in(client, secret)
    cookie = client.cookies["newsreel_session"]
    assert client.post("/logout", data={"csrf": "wrong"}).status_code == 403
    answer = client.post("/logout", data={"csrf": accounts.session(cookie).csrf})
    assert (answer.status_code, accounts.session(cookie)) == (303, None)
