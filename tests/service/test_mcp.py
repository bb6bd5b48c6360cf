"""A service as an assistant's tools: the official client, a server process, a real service."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from src.core.paths import REPOSITORY
from tests.service.browser_kit import CLIP

mcp = pytest.importorskip("mcp", reason="the SDK is an extra (requirements-mcp.txt)")


@pytest.fixture
def service(running):
    made = running(NEWSREEL_FAKE_CLIP=str(CLIP), NEWSREEL_FAKE_SECONDS="0.2").start()
    made.ready("/ready")
    return made


def conversation(service, folder, steps, **variables):
    """What `steps` returns with a connected client."""

    async def run():
        parameters = mcp.StdioServerParameters(
            command=sys.executable,
            args=["-m", "src.mcp", "--folder", str(folder)],
            env=os.environ | {"NEWSREEL_URL": service.url} | variables,
            cwd=str(REPOSITORY),
        )
        async with mcp.Client(parameters) as client:
            return await steps(client)

    return anyio.run(run)


async def result(client, name, **arguments):
    answer = await client.call_tool(name, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content or answer.content


def test_an_assistant_makes_looks_at_and_saves_a_clip(service, photograph, tmp_path):
    async def steps(client):
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {
            "generate", "status", "fetch", "upscale", "verify",
        }  # fmt: skip
        made = await result(client, "generate", photograph=str(photograph), prompt="pan left")
        with anyio.fail_after(30):
            while True:
                answer = await client.call_tool("status", {"job": made["id"]})
                if "COMPLETED" in str(answer.content):
                    break
                await anyio.sleep(0.1)
        kinds = {each.type for each in answer.content}
        saved = await result(client, "fetch", job=made["id"])
        larger = await result(client, "upscale", video=saved["clip"])
        told = await result(client, "verify", file=saved["clip"])
        return kinds, saved, larger, told

    kinds, saved, larger, told = conversation(service, tmp_path / "clips", steps)
    assert "image" in kinds
    assert saved["clip"].startswith(str(tmp_path / "clips")) and saved["url"].startswith("http")
    assert (tmp_path / "clips" / Path(saved["clip"]).name).read_bytes() == CLIP.read_bytes()
    assert (told["changed"], told["layers"]["c2pa"]["found"]) == (False, False)
    assert larger["state"] in ("PENDING", "PROCESSING")


def test_what_goes_wrong_is_the_services_own_sentence(service, photograph, tmp_path):
    wish = {"photograph": str(photograph), "prompt": "p", "model": "ltx-video", "mode": "baseline"}
    asked = (
        ("generate", {"photograph": str(photograph), "prompt": "x" * 5000}, "prompt"),
        ("generate", wish, "accept_licence=true"),
        ("generate", wish | {"accept_licence": True}, "hf download Lightricks/LTX-Video"),
        ("generate", {"photograph": str(tmp_path / "none.jpg"), "prompt": "p"}, "No such file"),
        ("status", {"job": "0" * 21}, "no job"),
        ("status", {"job": "../health"}, "is no id"),
        ("upscale", {"video": str(photograph), "quality": "best"}, "quality"),
    )  # fmt: skip

    async def steps(client):
        answers = [await client.call_tool(name, arguments) for name, arguments, _ in asked]
        return [(each.is_error, str(each.content)) for each in answers]

    for (_, _, words), (failed, said) in zip(
        asked, conversation(service, tmp_path, steps), strict=True
    ):
        assert failed and words in said, said


def test_a_service_that_is_away_and_a_wrong_key_are_told(running, tmp_path):
    service = running(NEWSREEL_AUTH="on").start()
    service.ready("/health")

    async def steps(client):
        return str((await client.call_tool("status", {"job": "0" * 21})).content)

    assert "key" in conversation(service, tmp_path, steps, NEWSREEL_KEY="nr_wrong")
    service.kill()
    assert "does not answer" in conversation(service, tmp_path, steps)
