"""Plaud's tokens and uploads through a socket: who asks when, and which bytes arrive."""

from __future__ import annotations

import asyncio
import io
from base64 import b64decode
from hashlib import md5
from typing import Any

import pytest

from transcription_pipeline.audio.probe import probe
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.errors import (
    AudioError,
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    UnexpectedResponse,
)
from transcription_pipeline.providers import plaud_tokens
from transcription_pipeline.providers.base import Audio, PaidRequest, Submission, Verdict
from transcription_pipeline.providers.plaud import PlaudProvider
from transcription_pipeline.providers.plaud_answers import TokenAnswer
from transcription_pipeline.providers.plaud_tokens import Token
from transcription_pipeline.providers.plaud_uploads import MAX_CHUNK_BYTES, cut
from transcription_pipeline_tests.audio.sample_set import FOLDER
from transcription_pipeline_tests.providers.plaud_world import (
    CONTENT,
    DOWNLOAD_URL,
    SECRETS,
    Plaud,
    Said,
    assert_no_secret,
    make_audio,
    no_waiting,
    talk,
)

__all__ = ["no_waiting"]
M4A = AudioFacts("m4a", "aac", 16_000, 2, 10_062)
WAV = AudioFacts("wav", "pcm_mulaw", 8_000, 1, 7_641)
WAV_CONTENT = (FOLDER / "delivery.wav").read_bytes()
REFUSED_TYPE = Said(400, {"code": 400, "message": "FILE_TYPE_INVALID"})


def upload(plaud: Plaud, audio: Audio | None = None, **arguments: Any) -> Audio:
    """Upload some audio."""
    return talk(plaud, lambda client: client.upload(audio or make_audio()), **arguments)


def fail(plaud: Plaud, audio: Audio | None = None) -> ProviderError:
    """Upload some audio, which must end in an error that tells no secret."""
    with pytest.raises(ProviderError) as caught:
        upload(plaud, audio)
    assert_no_secret(str(caught.value))
    return caught.value


def submit_refused(plaud: Plaud, audio: Audio) -> Submission:
    """Upload some audio that is refused, and submit it all the same: nothing may be sent."""

    async def converse(client: PlaudProvider) -> Submission:
        refused = await client.upload(audio)
        assert (refused.url, refused.upload_id) == (None, None)
        return await client.submit(PaidRequest("a" * 32, b"", refused))

    told = talk(plaud, converse)
    assert "submit" not in plaud.counts()
    assert_no_secret(told.detail or "")
    return told


def test_an_upload_step_by_step() -> None:
    """Tokens, addresses, parts in order, completion: each request as its page shows it."""
    plaud = Plaud()
    audio = upload(plaud, user_token_s=7_200)
    assert (audio.url, audio.upload_id, audio.refusal) == (DOWNLOAD_URL, "file_1", None)
    token, user, presign, *parts, complete = plaud.seen
    assert [one.operation for one in plaud.seen] == [
        *("token", "user_token", "presign", "part", "part", "part", "complete")
    ]
    assert token.body == b""
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    scheme, credentials = token.headers["authorization"].split()
    assert (scheme, b64decode(credentials)) == ("Basic", b"client-canary:secret-canary")
    assert user.headers["authorization"] == "Bearer partner-1-canary"
    assert user.json == {"user_id": "user-canary", "expires_in": 7_200}
    assert presign.headers["authorization"] == "Bearer user-2-canary"
    assert presign.json == {"filesize": 2_560, "filetype": "mp3"}
    assert [len(part.body) for part in parts] == [1_000, 1_000, 560]
    assert plaud.content_of("file_1") == CONTENT
    for part in parts:
        assert not {"authorization", "x-client-id", "content-type"} & part.headers.keys()
    assert complete.headers["authorization"] == "Bearer user-2-canary"
    assert complete.json == {
        "file_id": "file_1",
        "upload_id": "upload of file_1",
        "part_list": [
            {"PartNumber": number, "ETag": f'"{md5(part.body).hexdigest()}"'}
            for number, part in enumerate(parts, 1)
        ],
        "filetype": "mp3",
        "file_md5": md5(CONTENT).hexdigest(),
    }
    assert all("x-client-api-key" not in one.headers for one in plaud.seen)


@pytest.mark.parametrize("size", [1, 999, 1_000, 1_001, 2_000])
def test_parts_at_the_edges(size: int) -> None:
    """A file of exactly so many parts has no empty one."""
    plaud, content = Plaud(), CONTENT[:size]
    upload(plaud, make_audio(content))
    assert plaud.content_of("file_1") == content
    assert plaud.counts()["part"] == -(-size // 1_000)


def test_cutting_needs_a_stream_of_the_size_it_was_said_to_have() -> None:
    """Bytes that are missing, or too many, are an error before the last part."""

    async def run(size: int) -> list[bytes]:
        return [part async for part in cut(make_audio(b"x" * 25).open_stream(), 10, size)]

    assert list(map(len, asyncio.run(run(25)))) == [10, 10, 5]
    for size in (24, 26):
        with pytest.raises(AudioError, match="bytes came"):
            asyncio.run(run(size))


def test_many_who_wait_share_one_token() -> None:
    """Twelve uploads at once ask for one partner and one user token."""
    plaud = Plaud()

    async def converse(client: PlaudProvider) -> None:
        audios = [make_audio(CONTENT[:number]) for number in range(1, 13)]
        named = [
            Audio(f"{n:032}", a.size_bytes, 1, a.open_stream, a.facts) for n, a in enumerate(audios)
        ]
        await asyncio.gather(*map(client.upload, named))

    talk(plaud, converse)
    assert (plaud.counts()["token"], plaud.counts()["user_token"]) == (1, 1)
    assert plaud.counts()["complete"] == 12


def test_many_who_wait_share_one_failure() -> None:
    """Refused credentials are asked for once, however many uploads wait for them."""
    plaud = Plaud(script={"token": [Said(401, {"message": "no"})]})

    async def converse(client: PlaudProvider) -> list[Any]:
        named = [
            Audio(f"{n:032}", 9, 1, make_audio(b"x" * 9).open_stream, make_audio().facts)
            for n in range(8)
        ]
        return await asyncio.gather(*map(client.upload, named), return_exceptions=True)

    assert {type(one) for one in talk(plaud, converse)} == {AuthenticationFailed}
    assert plaud.counts() == {"token": 1}


def test_a_partner_token_is_refreshed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is about to end is exchanged by its refresh token, with Basic and a form."""
    plaud = Plaud(token_s=1)
    monkeypatch.setattr(plaud_tokens, "MARGIN_S", 0.95)
    twice(plaud, 0.6)
    refresh = plaud.last("refresh")
    assert refresh.body == b"refresh_token=refresh-1-canary"
    assert refresh.headers["authorization"].startswith("Basic ")
    assert refresh.headers["content-type"] == "application/x-www-form-urlencoded"
    assert plaud.last("user_token").headers["authorization"] != "Bearer partner-1-canary"
    assert plaud.counts()["token"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_refresh_falls_back_to_the_credentials(status: int) -> None:
    """Whatever a refresh is refused with, a new partner token is minted."""
    plaud = Plaud(token_s=1, script={"refresh": [Said(status, {})]})
    twice(plaud, 0.6)
    assert (plaud.counts()["token"], plaud.counts()["refresh"]) == (2, 1)


def twice(plaud: Plaud, pause_s: float) -> None:
    """Upload, wait, and upload again."""

    async def converse(client: PlaudProvider) -> None:
        await client.upload(make_audio())
        await asyncio.sleep(pause_s)
        other = make_audio()
        await client.upload(Audio("c" * 32, other.size_bytes, 1, other.open_stream, other.facts))

    talk(plaud, converse)


@pytest.mark.parametrize("operation", ["presign", "complete"])
def test_a_user_token_that_ends_early_is_minted_again_once(operation: str) -> None:
    """After a 401 the upload goes on under a new token; after a second one it is an error."""
    plaud = Plaud(script={operation: [Said(401, {})]})
    assert upload(plaud).url == DOWNLOAD_URL
    assert plaud.counts()["user_token"] == 2
    assert plaud.last("complete").headers["authorization"] != "Bearer user-2-canary"
    plaud = Plaud(script={operation: [Said(401, {})] * 2})
    assert type(fail(plaud)) is AuthenticationFailed
    assert plaud.counts()["user_token"] == 2


def test_a_late_refusal_does_not_cost_the_new_token() -> None:
    """Whoever comes back with the old token after it was replaced drops nothing."""
    minted = iter(["old", "new", "newer"])

    async def mint() -> TokenAnswer:
        return TokenAnswer(next(minted), 3_600)

    async def converse() -> str:
        token = Token(mint)
        old = await token.get()
        token.drop(old)
        await token.get()
        token.drop(old)
        return await token.get()

    assert asyncio.run(converse()) == "new"


def test_a_partner_token_that_ends_early_is_minted_again_once() -> None:
    """A user token refused for its partner token is asked for with a new one, from the credentials."""
    plaud = Plaud(script={"user_token": [Said(401, {})]})
    assert upload(plaud).url == DOWNLOAD_URL
    assert plaud.counts()["token"] == 2
    assert "refresh" not in plaud.counts()
    assert type(fail(Plaud(script={"user_token": [Said(403, {})] * 2}))) is AuthenticationFailed


@pytest.mark.parametrize("operation", ["token", "user_token"])
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Said(400, {"message": "invalid_client"}), AuthenticationFailed),
        (Said(422, {}), AuthenticationFailed),
        (Said(429, {}), RateLimited),
        (Said(503, {}), ProviderUnavailable),
        (Said(200, b"<html>"), UnexpectedResponse),
        (Said(200, {"access_token": "a\r\nX-Evil: 1", "expires_in": 5}), UnexpectedResponse),
        (Said(200, {"access_token": "a", "expires_in": 0}), UnexpectedResponse),
        (Said(200, {"access_token": "a"}), UnexpectedResponse),
        (Said(307, {}, {"Location": "https://evil.test/"}), UnexpectedResponse),
    ],
)
def test_what_a_refused_token_is(operation: str, said: Said, kind: type[ProviderError]) -> None:
    """Refusals are the account's, whatever their code; answers of another shape are no tokens."""
    assert type(fail(Plaud(script={operation: [said] * 4}))) is kind


def test_token_requests_keep_their_own_rate() -> None:
    """Two partner tokens are further apart than the rate allows, whatever asks for them."""
    plaud = Plaud(token_s=1, script={"refresh": [Said(401, {})]})

    async def converse(client: PlaudProvider) -> float:
        loop = asyncio.get_running_loop()
        await client.upload(make_audio())
        await asyncio.sleep(0.5)
        begun, other = loop.time(), make_audio()
        await client.upload(Audio("c" * 32, other.size_bytes, 1, other.open_stream, other.facts))
        return loop.time() - begun

    assert talk(plaud, converse, tokens_per_s=1.0) >= 1.2


@pytest.mark.parametrize("said", [Said(0), Said(500), Said(503)], ids=["hung up", "500", "503"])
def test_a_part_is_sent_again(said: Said) -> None:
    """A part without an answer is sent again to the same address, from memory."""
    plaud = Plaud(script={"part": [Said(), said]})
    upload(plaud)
    assert plaud.counts()["part"] == 4
    assert plaud.counts()["presign"] == 1
    assert plaud.content_of("file_1") == CONTENT


def test_dead_addresses_start_the_upload_over() -> None:
    """An address that refuses is not asked again: new ones are, and every part is sent anew."""
    plaud = Plaud(script={"part": [Said(), Said(403, b"<Error/>")]})
    assert upload(plaud).upload_id == "file_2"
    assert plaud.counts()["part"] == 2 + 3
    assert plaud.content_of("file_2") == CONTENT


def test_uploads_start_over_only_so_often() -> None:
    """Three beginnings, then the job waits."""
    plaud = Plaud(script={"part": [Said(403)] * 9})
    error = fail(plaud)
    assert (type(error), error.status_code) == (ProviderUnavailable, 403)
    assert (plaud.counts()["presign"], plaud.counts()["part"]) == (3, 3)


def test_other_bytes_than_were_sent_start_the_upload_over() -> None:
    """A completed file whose MD5 is not ours is not transcribed."""
    wrong = {"FileId": "file_1", "DownloadUrl": "https://x.test/", "FileMd5": "0" * 32}
    plaud = Plaud(script={"complete": [Said(200, wrong)]})
    assert upload(plaud).upload_id == "file_2"
    told = {"FileId": "f", "DownloadUrl": DOWNLOAD_URL, "FileMd5": md5(CONTENT).hexdigest().upper()}
    plaud = Plaud(script={"complete": [Said(200, told)]})
    assert upload(plaud).upload_id == "f"


def test_a_refused_completion_starts_the_upload_over() -> None:
    """It may have been completed before, by a request whose answer was lost."""
    plaud = Plaud(script={"complete": [Said(0), Said(404, {"message": "not found"})]})
    assert upload(plaud).upload_id == "file_2"


@pytest.mark.parametrize(
    "said",
    [
        {"ChunkSize": 0},
        {
            "ChunkSize": MAX_CHUNK_BYTES + 1,
            "Parts": [{"PartNumber": 1, "PresignedUrl": "https://x.test/"}],
        },
        {"ChunkSize": 2_000},
        {"Parts": []},
        {"Parts": [{"PartNumber": n, "PresignedUrl": "u"} for n in (1, 2, 2)]},
        {"Parts": [{"PartNumber": n, "PresignedUrl": "u"} for n in (0, 1, 2)]},
        {"Parts": [{"part_number": 1, "presigned_url": "u"}]},
        {"FileId": ""},
        {"UploadId": None},
    ],
)
def test_plans_that_are_none(said: dict[str, Any]) -> None:
    """Chunks too large for memory, parts that do not cover the file, fields of another casing."""
    parts = [{"PartNumber": n, "PresignedUrl": "https://x.test/"} for n in (1, 2, 3)]
    plan = {"FileId": "f", "UploadId": "u", "ChunkSize": 1_000, "Parts": parts, **said}
    plaud = Plaud(script={"presign": [Said(200, plan)]})
    assert type(fail(plaud)) is UnexpectedResponse
    assert "part" not in plaud.counts()


@pytest.mark.parametrize("address", ["http://169.254.169.254/x", "https://10.0.0.1/x", "file:///x"])
def test_parts_go_to_no_address_inside(address: str) -> None:
    """An address that leads into our network is not gone to."""
    plan = {"FileId": "f", "UploadId": "u", "ChunkSize": 9_999}
    plan["Parts"] = [{"PartNumber": 1, "PresignedUrl": address}]  # type: ignore[assignment]
    assert type(fail(Plaud(script={"presign": [Said(200, plan)]}))) is UnexpectedResponse


def test_a_part_without_an_etag_is_an_error() -> None:
    """Without its ETag a part cannot be listed."""
    plaud = Plaud(script={"part": [Said(201, {})]})
    assert "ETag" in str(fail(plaud))


def test_an_upload_serves_an_attempt_that_is_sent_again() -> None:
    """After a refusal for haste the same file is submitted; after an answer it is forgotten."""
    plaud = Plaud(script={"submit": [Said(429, {})]})

    async def converse(client: PlaudProvider) -> None:
        for verdict in (Verdict.NOT_SENT, Verdict.ACCEPTED):
            audio = await client.upload(make_audio())
            told = await client.submit(client.make_request("a" * 32, audio, {}))
            assert told.verdict is verdict
        await client.upload(make_audio())

    talk(plaud, converse)
    assert plaud.counts()["complete"] == 2


def test_wav_is_uploaded_as_mp3() -> None:
    """What Plaud's uploads refuse arrives as mp3 of the same length, announced as such."""
    plaud = Plaud()
    audio = upload(plaud, make_audio(WAV_CONTENT, WAV))
    content = plaud.content_of("file_1")
    assert audio.url == DOWNLOAD_URL
    assert audio.size_bytes == len(WAV_CONTENT)
    assert plaud.last("presign").json == {"filesize": len(content), "filetype": "mp3"}
    assert plaud.last("complete").json["filetype"] == "mp3"
    facts = probe(lambda start, length: content[start : start + length], len(content))
    assert (facts.container, facts.codec, facts.channel_count) == ("mp3", "mp3", 1)
    assert facts.duration_ms == pytest.approx(WAV.duration_ms, abs=100)


def test_audio_nobody_looked_into_is_transcoded() -> None:
    """Without facts the format is not known, so mp3 is made of it."""
    plaud = Plaud()
    upload(plaud, make_audio((FOLDER / "hotel.mp3").read_bytes(), None))
    assert plaud.content_of("file_1") != (FOLDER / "hotel.mp3").read_bytes()


def test_m4a_goes_as_it_is_where_it_is_taken() -> None:
    """An m4a is announced as m4a."""
    plaud = Plaud()
    upload(plaud, make_audio(CONTENT, M4A))
    assert plaud.last("presign").json["filetype"] == "m4a"
    assert plaud.content_of("file_1") == CONTENT


def test_m4a_that_is_refused_becomes_mp3_and_is_not_tried_again() -> None:
    """After one refusal of the type every m4a is transcoded at once."""
    plaud = Plaud(script={"presign": [REFUSED_TYPE]})
    content = (FOLDER / "budget.m4a").read_bytes()

    async def converse(client: PlaudProvider) -> None:
        for name in ("b", "c"):
            audio = make_audio(content, M4A)
            await client.upload(Audio(name * 32, len(content), 1, audio.open_stream, M4A))

    talk(plaud, converse)
    types = [one.json["filetype"] for one in plaud.seen if one.operation == "presign"]
    assert types == ["m4a", "mp3", "mp3"]


@pytest.mark.parametrize(
    ("content", "cause"), [(b"no audio at all", "not_audio"), (b"", "not_audio")]
)
def test_audio_that_cannot_be_transcoded_is_refused_with_its_reason(
    content: bytes, cause: str
) -> None:
    """Nothing is uploaded, nothing is paid, and the job ends with a typed cause."""
    plaud = Plaud()
    told = submit_refused(plaud, make_audio(content, WAV))
    assert (told.verdict, told.cause) == (Verdict.REJECTED, cause)
    assert plaud.seen == []


def test_a_stream_that_ends_early_is_refused_with_its_reason() -> None:
    """A file that is not as long as it was listed is not completed."""
    plaud = Plaud()
    told = submit_refused(plaud, make_audio(CONTENT, size_bytes=len(CONTENT) + 1))
    assert (told.verdict, told.cause) == (Verdict.REJECTED, "truncated")
    assert "complete" not in plaud.counts()


@pytest.mark.parametrize(
    ("status", "verdict", "cause", "gate"),
    [
        (400, Verdict.REJECTED, "upload_rejected", None),
        (413, Verdict.REJECTED, "upload_rejected", None),
        (402, Verdict.NOT_SENT, "gate_funds", "funds"),
    ],
)
def test_a_refused_upload_ends_the_job_or_closes_the_gate(
    status: int, verdict: Verdict, cause: str, gate: str | None
) -> None:
    """What is not taken is rejected, unpaid; without funds every job waits."""
    body = {"code": status, "message": "see https://a.test/?sig=url-canary"}
    plaud = Plaud(script={"presign": [Said(status, body)]})
    told = submit_refused(plaud, make_audio())
    assert (told.verdict, told.cause, told.gate) == (verdict, cause, gate)


def test_an_upload_may_be_cut_short_while_it_transcodes() -> None:
    """Whoever stops waiting leaves no thread writing into closed files."""

    async def converse(client: PlaudProvider) -> None:
        waiting = asyncio.create_task(client.upload(make_audio(WAV_CONTENT, WAV)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    plaud = Plaud()
    talk(plaud, converse)
    assert "complete" not in plaud.counts()


def test_nothing_shows_a_secret() -> None:
    """Neither the client nor what it makes prints a credential."""
    client = PlaudProvider(**SECRETS)
    buffer = io.StringIO()
    print(client, client.capabilities, vars(client), file=buffer)
    assert_no_secret(buffer.getvalue())
