"""The application in this process, where its inside can be broken or watched."""

import asyncio
import sys

import httpx2
import pytest
from served import MODEL, check, photo

import vit_sentiment
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.serving import app as serving_app
from vit_sentiment.serving.guard import page_policy
from vit_sentiment.serving.service import make_service
from vit_sentiment.serving.settings import Settings

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def model():
    return vit_sentiment.load(MODEL, gelu="exact")


def asking(model, ask, settings=None):
    """What an asynchronous function of a client gives."""

    async def run():
        service = make_service(model, "tiny", settings or Settings(batch_size=2), lambda: 0)
        transport = httpx2.ASGITransport(app=serving_app.make_app(service))
        async with (
            service.running(),
            httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            return await ask(client)

    return asyncio.run(run())


async def send(client, path="/v1/predict"):
    return await client.post(path, files={"image": ("secret.png", photo())})


def test_a_defect_tells_clients_a_number_and_the_log_where(model, monkeypatch, capsys):
    def broken(outcome, *args):
        raise RuntimeError(f"{outcome} at {'/'.join(['home', 'sec' + 'ret'])}")

    monkeypatch.setattr("vit_sentiment.serving.predicting.predictions", broken)
    response = asking(model, send)
    assert response.status_code == 500
    error = response.json()["error"]
    assert error["code"] == "internal"
    number = error["message"].split()[-1]
    told = capsys.readouterr().err
    assert f"defect {number}: RuntimeError" in told
    assert "predicting.py" in told
    assert "secret" not in told + response.text
    assert "predicting.py" not in response.text


def test_a_body_that_comes_too_slowly_is_given_up(model):
    async def ask(client):
        async def body():
            yield b"half"
            await asyncio.sleep(60)

        headers = {"Content-Type": "image/png"}
        return await client.post("/v1/predict", content=body(), headers=headers)

    response = asking(model, ask, Settings(batch_size=1, explain=False, read_seconds=0.05))
    assert (response.status_code, response.json()["error"]["code"]) == (408, "timeout")


def test_weights_that_give_nan_are_refused_at_the_start(model):
    import jax

    nan = jax.tree.map(lambda leaf: leaf * float("nan"), model.params)
    damaged = type(model)(model.description, nan, "")
    with pytest.raises(UserError, match="NaN"):
        make_service(damaged, "damaged", Settings(batch_size=1, explain=False), lambda: 0)


def test_no_file_is_written_for_a_large_upload(model):
    written, watching = [], True

    def watch(event, args):
        if watching and event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            written.append(args[0])

    async def ask(client):
        sys.addaudithook(watch)  # It cannot be taken away again.
        data = photo() + bytes(5_000_000)
        return await client.post("/v1/predict", files=[("i", data), ("i", data)])

    try:
        assert asking(model, ask).status_code == 200
        assert written == []
    finally:
        watching = False


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [
        ("127.0.0.1:8000", None, 200), ("[::1]:8000", None, 200), ("LOCALHOST", None, 200),
        ("127.0.0.1.evil.example", None, 400), ("localhost@evil.example", None, 400),
        ("photos.example:80", ("localhost", "photos.example"), 200), ("any.example", (), 200),
    ],
)  # fmt: skip
def test_only_names_of_the_server_are_answered(model, host, allowed, status):
    settings = Settings(batch_size=1, explain=False)
    if allowed is not None:
        settings = Settings(batch_size=1, explain=False, allowed_hosts=allowed)

    async def ask(client):
        return await client.get("/healthz", headers={"Host": host})

    assert asking(model, ask, settings).status_code == status


def test_without_heat_maps_there_is_no_route_for_them(model):
    async def ask(client):
        document = (await client.get("/openapi.json")).json()
        assert "/v1/explain" not in document["paths"]
        facts = check(await client.get("/v1/model"), document).json()
        assert facts["explain"] == []
        return await send(client, "/v1/explain")

    assert asking(model, ask, Settings(batch_size=1, explain=False)).status_code == 404


def test_the_policy_of_a_page_names_its_own_scripts_and_styles():
    page = "<style>a{}</style><script>b()</script><script>c()</script>"
    policy = dict(part.split(" ", 1) for part in page_policy(page).split("; "))
    # By openssl dgst -sha256 -binary | base64.
    assert policy["style-src"] == "'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='"
    assert policy["script-src"].split() == [
        "'sha256-cf242PFc/kb7xD0Qzhsmd9vvRkc+cWFmbi+k+YvtdKc='",
        "'sha256-uv6BXxguRKhBqgeOtcyTvppA2Vttceh37dUo7xwS8Ug='",
    ]
    assert policy["default-src"] == "'none'"


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, (1,)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))]
)
def test_sizes_are_powers_of_two_and_the_largest(largest, sizes):
    assert Settings(batch_size=largest).sizes == sizes


def test_a_request_must_fit_into_the_queue():
    with pytest.raises(UserError, match="32 photos never fits into a queue of 31"):
        Settings(queue=31)


@pytest.mark.parametrize("prefix", ["photos", "/photos/", "/", "/a//b", "/ü", "/a?b"])
def test_a_prefix_of_another_form_is_refused(prefix):
    with pytest.raises(UserError, match="root_path"):
        Settings(root_path=prefix)
