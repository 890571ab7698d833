"""Plaud emulated: credentials, casing, chunks, lives of addresses and tokens, limits."""

from __future__ import annotations

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.plaud_wire import (
    CHUNK,
    COMPLETE,
    CONTENT,
    FORM,
    JOBS,
    JSON,
    PRESIGN,
    TOKEN,
    USER_TOKEN,
    Customer,
    customer,
    emulator,
    error_of,
    server,
    settings,
)

__all__ = ["customer", "emulator", "server", "settings"]  # fixtures

CALLS: dict[str, tuple[str, str, Any, str]] = {
    "token": ("POST", TOKEN, b"", "basic"),
    "refresh": ("POST", f"{TOKEN}/refresh", b"refresh_token=x", "basic"),
    "user_token": ("POST", USER_TOKEN, {"user_id": "user_1"}, "partner"),
    "presign": ("POST", PRESIGN, {"filesize": 1, "filetype": "mp3"}, "user"),
    "complete": ("POST", COMPLETE, {}, "user"),
    "submit": ("POST", JOBS, {"file_url": "https://x.invalid/"}, "key"),
    "get": ("GET", f"{JOBS}task_exec_0", None, "key"),
}
WAYS = ("none", "basic", "partner", "user", "key", "secret_as_key", "user_as_key")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("way", WAYS)
def test_each_call_takes_one_kind_of_credentials(customer: Customer, call: str, way: str) -> None:
    """Every other kind is refused with 401, the secret and a user token as API key, too."""
    method, path, body, wanted = CALLS[call]
    partner = f"Bearer {customer.partner()['access_token']}"
    user = customer.user()
    headers: dict[str, dict[str, str]] = {
        "none": {},
        "basic": customer.basic,
        "partner": {"authorization": partner},
        "user": user,
        "key": customer.keyed,
        "secret_as_key": customer.keyed | {"x-client-api-key": customer.secret_key},
        "user_as_key": customer.keyed | {"x-client-api-key": user["authorization"][7:]},
    }
    kind = FORM if isinstance(body, bytes) else JSON
    answer = customer.ask(method, path, body, **headers[way], **kind)
    if way != wanted:
        assert error_of(answer)[0] == 401
    elif call == "refresh":  # let in; only the token it brought is wrong
        assert answer.json["message"] == "The refresh token is invalid"
    else:
        assert answer.status not in (401, 403)


def test_known_clients_have_one_region_one_secret_and_one_key(emulator: EmulatorServer) -> None:
    """With configured credentials all others are refused, and those of another region."""
    keys = {"secret_key": "s", "api_key": "k"}
    emulator.configure(clients={"us": keys, "jp": keys | {"region": "jp"}})
    good = Customer(emulator.base_url, "us", "s", "k")
    assert good.partner()["expires_in"] == 3600
    assert good.submit("https://x.invalid/").status == 500
    for client, secret, key in (("us", "x", "x"), ("jp", "s", "k"), ("eu", "s", "k")):
        bad = Customer(emulator.base_url, client, secret, key)
        assert bad.ask("POST", TOKEN, b"", **bad.basic, **FORM).status == 401
        assert bad.submit("https://x.invalid/").status == 401
    emulator.configure(region="jp")
    assert Customer(emulator.base_url, "jp", "s", "k").partner()["token_type"] == "bearer"


def test_a_partner_token_dies_and_is_refreshed_once(
    customer: Customer, emulator: EmulatorServer
) -> None:
    """It lives 3600 s; its refresh token gives a new pair and dies by it, unless set otherwise."""
    first = customer.partner()
    assert first.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    emulator.advance(3_600)
    bearer = {"authorization": f"Bearer {first['access_token']}"}
    late = customer.ask("POST", USER_TOKEN, {"user_id": "user_1"}, **bearer, **JSON)
    assert error_of(late)[0] == 401
    second = customer.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert customer.refresh(first["refresh_token"]).status == 401
    assert customer.refresh(first["access_token"]).status == 401
    emulator.configure(refresh_rotates=False)
    assert customer.refresh(second["refresh_token"]).status == 200
    assert customer.refresh(second["refresh_token"]).status == 200
    emulator.advance(31 * 86_400)
    assert customer.refresh(second["refresh_token"]).status == 401


def test_a_user_token_is_a_jwt_of_the_life_asked_for(
    customer: Customer, emulator: EmulatorServer
) -> None:
    """Its claims name client and user; it lives as long as was asked."""
    user = customer.user("user_2", expires_in=60)
    claims = user["authorization"].split(".")[1]
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert (read["client_id"], read["user_id"], read["sub"]) == ("client_a", "user_2", "user_2")
    customer.promise(1, user)
    emulator.advance(60)
    body = {"filesize": 1, "filetype": "mp3"}
    assert customer.ask("POST", PRESIGN, body, **user, **JSON).status == 401


@pytest.mark.parametrize(
    ("user_id", "more", "status"),
    [
        ("u" * 6, {}, 200),
        ("u" * 120, {}, 200),
        ("u" * 5, {}, 422),
        ("u" * 121, {}, 422),
        ("user_1", {"expires_in": 0}, 422),
        ("user_1", {"expires_in": "60"}, 422),
    ],
)
def test_the_limits_of_a_user_token(
    customer: Customer, user_id: str, more: dict[str, Any], status: int
) -> None:
    """A user id has 6 to 120 characters, a life is a positive number."""
    bearer = {"authorization": f"Bearer {customer.partner()['access_token']}"}
    answer = customer.ask("POST", USER_TOKEN, {"user_id": user_id} | more, **bearer, **JSON)
    assert answer.status == status


def test_an_upload_the_whole_way(customer: Customer) -> None:
    """Keys are PascalCase, parts are numbered from 1, and the file comes back as it went."""
    user = customer.user()
    promise = customer.promise(len(CONTENT), user)
    assert promise.keys() == {"FileId", "UploadId", "ChunkSize", "Parts"}
    assert [part["PartNumber"] for part in promise["Parts"]] == [1, 2, 3]
    assert all("/developer/api" not in part["PresignedUrl"] for part in promise["Parts"])
    parts = customer.put_all(promise, CONTENT)
    assert parts[0]["ETag"] == f'"{hashlib.md5(CONTENT[:CHUNK]).hexdigest()}"'
    done = customer.complete(promise, parts, user).json
    assert done.keys() == {"FileId", "FileType", "DownloadUrl", "FileMd5"}
    assert done["FileMd5"] == hashlib.md5(CONTENT).hexdigest()
    assert customer.ask_store("GET", done["DownloadUrl"]).body == CONTENT
    assert customer.ask_store("PUT", promise["Parts"][0]["PresignedUrl"], b"late").status == 404


@pytest.mark.parametrize(
    ("filesize", "filetype", "error"),
    [
        (1, "wav", (400, "FILE_TYPE_INVALID:")),
        (1, "audio/mpeg", (400, "FILE_TYPE_INVALID:")),
        (0, "mp3", (400, "FILE_SIZE_INVALID:")),
        (10_000 * CHUNK + 1, "mp3", (400, "FILE_SIZE_INVALID:")),
    ],
)
def test_what_is_not_promised(
    customer: Customer, filesize: int, filetype: str, error: tuple[int, str]
) -> None:
    """A file type is an extension of a short list, and wav is not on it."""
    body = {"filesize": filesize, "filetype": filetype}
    assert error_of(customer.ask("POST", PRESIGN, body, **customer.user(), **JSON)) == error


@pytest.mark.parametrize(
    ("sizes", "code"), [((9, 10, 6), "EntityTooSmall"), ((10, 11, 4), "EntityTooLarge")]
)
def test_all_parts_but_the_last_are_a_chunk_long(
    customer: Customer, sizes: tuple[int, ...], code: str
) -> None:
    """The store takes a part of any length; the completion does not."""
    user = customer.user()
    promise = customer.promise(25, user)
    parts = []
    for part, size in zip(promise["Parts"], sizes, strict=True):
        etag = customer.ask_store("PUT", part["PresignedUrl"], bytes(size)).headers["etag"]
        parts.append({"PartNumber": part["PartNumber"], "ETag": etag})
    answer = customer.complete(promise, parts, user)
    assert answer.json["message"] == f"FILE_UPLOAD_FAILED: {code}"


def test_a_file_is_as_long_as_was_announced(customer: Customer) -> None:
    """A last part that is too short is refused at completion; putting it again mends that."""
    user = customer.user()
    promise = customer.promise(25, user)
    short = customer.put_all(promise, CONTENT[:24])
    assert error_of(customer.complete(promise, short, user)) == (400, "FILE_SIZE_INVALID:")
    whole = customer.put_all(promise, CONTENT)
    assert customer.complete(promise, whole, user).status == 200


def test_what_a_completion_checks(customer: Customer) -> None:
    """Order, completeness, ETags, type, MD5, ids and owner; after all that it still succeeds."""
    user = customer.user()
    promise = customer.promise(len(CONTENT), user)
    parts = customer.put_all(promise, CONTENT)
    failed = (400, "FILE_UPLOAD_FAILED:")
    assert error_of(customer.complete(promise, parts[::-1], user)) == failed
    assert error_of(customer.complete(promise, parts[:2], user)) == failed
    wrong = [*parts[:2], parts[2] | {"ETag": '"0"'}]
    assert error_of(customer.complete(promise, wrong, user)) == failed
    for more, code in (
        ({"filetype": "opus"}, "FILE_TYPE_INVALID:"),
        ({"file_md5": "0" * 32}, "FILE_MD5_NOT_MATCH:"),
    ):
        assert error_of(customer.complete(promise, parts, user, **more)) == (400, code)
    assert customer.complete(promise, parts, user, upload_id="upload_0").status == 404
    assert customer.complete(promise, parts, customer.user("user_2")).status == 404
    lower = [{"part_number": 1, "etag": "x"}]
    assert customer.complete(promise, lower, user).status == 422
    assert customer.complete(promise, parts, user).status == 200


@pytest.mark.parametrize(
    ("etags", "statuses"),
    [("either", (200, 200)), ("quoted", (200, 400)), ("bare", (400, 200))],
)
def test_quotes_of_an_etag(
    customer: Customer, emulator: EmulatorServer, etags: str, statuses: tuple[int, int]
) -> None:
    """Both spellings are taken, unless one is set."""
    emulator.configure(etags=etags)
    user = customer.user()
    for is_bare, status in enumerate(statuses):
        promise = customer.promise(len(CONTENT), user)
        parts = customer.put_all(promise, CONTENT)
        if is_bare:
            parts = [one | {"ETag": one["ETag"].strip('"')} for one in parts]
        assert customer.complete(promise, parts, user).status == status


def test_a_completion_again(customer: Customer, emulator: EmulatorServer) -> None:
    """It gives a fresh DownloadUrl for a day more, or is refused."""
    user = customer.user(expires_in=200_000)
    promise = customer.promise(len(CONTENT), user)
    parts = customer.put_all(promise, CONTENT)
    first = customer.complete(promise, parts, user).json["DownloadUrl"]
    emulator.advance(86_401)
    assert customer.ask_store("GET", first).status == 403
    again = customer.complete(promise, parts, user)
    assert customer.ask_store("GET", again.json["DownloadUrl"]).body == CONTENT
    assert customer.complete(promise, parts, user, file_md5="0" * 32).status == 400
    emulator.configure(completes_again=False)
    assert customer.complete(promise, parts, user).status == 404


def test_completions_at_once(customer: Customer) -> None:
    """A completion repeated while the first is at work gives the same file."""
    user = customer.user()
    promise = customer.promise(len(CONTENT), user)
    parts = customer.put_all(promise, CONTENT)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(customer.complete, promise, parts, user) for _ in range(4)]
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert [one.result().json["FileMd5"] for one in asked] == [md5] * 4


def test_addresses_are_signed_and_die(customer: Customer, emulator: EmulatorServer) -> None:
    """An address is good for its verb, unchanged, without credentials, and for its time."""
    url = customer.promise(5, customer.user())["Parts"][0]["PresignedUrl"]
    assert b"SignatureDoesNotMatch" in customer.ask_store("GET", url).body
    assert b"SignatureDoesNotMatch" in customer.ask_store("PUT", f"{url}&a=b", b"12345").body
    assert b"SignatureDoesNotMatch" in customer.ask_store("PUT", url.split("?")[0], b"12345").body
    assert customer.ask_store("PUT", url, b"12345", authorization="Bearer x").status == 400
    chunked = f"PUT {url[len(emulator.base_url) :]} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    client = customer.ask_raw(chunked + "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    assert client.startswith(b"HTTP/1.1 411")
    emulator.advance(3_601)
    assert b"AccessDenied" in customer.ask_store("PUT", url, b"12345").body


def test_limits_per_minute(customer: Customer, emulator: EmulatorServer) -> None:
    """Sixty submits and polls, ten partner tokens; then 429 until the minute is over."""
    statuses = [customer.ask("GET", f"{JOBS}x", **customer.keyed).status for _ in range(61)]
    assert statuses == [404] * 60 + [429]
    refused = customer.submit("https://x.invalid/")
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    for _ in range(10):
        customer.partner()
    assert customer.ask("POST", TOKEN, b"", **customer.basic, **FORM).status == 429
    other = Customer(emulator.base_url, "client_b")
    assert other.partner()["expires_in"] == 3600
    emulator.configure(retry_after=False)
    assert "retry-after" not in customer.submit("https://x.invalid/").headers
    emulator.advance(60)
    assert customer.submit("https://x.invalid/").status == 500


@pytest.mark.parametrize(("choice", "status"), [("redirect", 307), ("not_found", 404)])
def test_a_submit_without_its_slash(
    customer: Customer, emulator: EmulatorServer, choice: str, status: int
) -> None:
    """It is redirected to the path with one, or not found."""
    emulator.configure(without_slash=choice)
    body = {"file_url": customer.upload()["DownloadUrl"]}
    answer = customer.ask("POST", JOBS.rstrip("/"), body, **customer.keyed, **JSON)
    assert answer.status == status
    if status == 307:
        assert answer.headers["location"] == emulator.base_url + JOBS
    emulator.configure(without_slash="accepted")
    answer = customer.ask("POST", JOBS.rstrip("/"), body, **customer.keyed, **JSON)
    assert answer.json["status"] == "PENDING"


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("GET", "/developer/api/other", None, {}, 404),
        ("POST", "/oauth/partner/access-token", b"", {}, 404),
        ("DELETE", f"{JOBS}x", None, {}, 405),
        ("POST", JOBS, b"{", JSON, 422),
        ("POST", JOBS, b"{}", JSON, 422),
        ("POST", JOBS, {"file_url": "x", "params": {"vad": {"decode_silence": 1}}}, JSON, 422),
        ("POST", JOBS, {"file_url": "https://x.invalid/"}, {}, 415),
    ],
)
def test_what_is_not_there_or_not_right(
    customer: Customer, method: str, path: str, body: Any, kind: dict[str, str], status: int
) -> None:
    """Unknown paths and methods, bodies of the wrong kind or shape."""
    assert error_of(customer.ask(method, path, body, **customer.keyed, **kind))[0] == status


def test_partner_calls_are_forms(customer: Customer) -> None:
    """Both partner calls ask for a form; the second for its field."""
    assert customer.ask("POST", TOKEN, b"{}", **customer.basic, **JSON).status == 415
    empty = customer.ask("POST", f"{TOKEN}/refresh", b"", **customer.basic, **FORM)
    assert error_of(empty)[0] == 422
