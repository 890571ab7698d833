"""Plaud's two tokens: one of the partner, and from it one of the user whose files are uploaded.

What belongs here: minting, renewing and dropping tokens, each by one request however many wait for
it. What does not: the key that transcription calls carry (``plaud.py``). Wire rules are from
docs.plaud.ai (Authentication API), read 2026-11-21.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import msgspec

from transcription_pipeline.errors import AuthenticationFailed, RequestRejected
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.plaud_answers import NAME, TokenAnswer, read

MARGIN_S = 300.0
"""A token is renewed this long before it ends, or at half of a life that is short."""
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}


class Token:
    """One kind of token, minted when it is asked for and there is none that will last."""

    def __init__(self, mint: Callable[[], Awaitable[TokenAnswer]]) -> None:
        self._mint = mint
        self._value = ""
        self._renew_at = 0.0
        self._minting: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """Return a token that is good for a while.

        Whoever asks while one is being minted waits for that one, and shares its failure.
        """
        if not self._value or asyncio.get_running_loop().time() >= self._renew_at:
            if self._minting is None:
                self._minting = asyncio.create_task(self._renew())
                self._minting.add_done_callback(self._renewed)
            await asyncio.shield(self._minting)
        return self._value

    def drop(self, value: str) -> None:
        """Forget a token that was refused, unless another has taken its place."""
        if value == self._value:
            self._value = ""

    async def aclose(self) -> None:
        """Stop minting."""
        if self._minting is not None:
            self._minting.cancel()
            await asyncio.wait([self._minting])

    async def _renew(self) -> None:
        answer = await self._mint()
        life_s = float(answer.expires_in)
        self._value = answer.access_token
        self._renew_at = asyncio.get_running_loop().time() + life_s - min(MARGIN_S, life_s / 2)

    def _renewed(self, minting: asyncio.Task[None]) -> None:
        self._minting = None
        if not minting.cancelled():
            minting.exception()  # marked as seen: whoever waited may be gone


class Tokens:
    """The tokens of one user of one partner account."""

    def __init__(
        self, *, partner_door: ProviderHttp, user_door: ProviderHttp, user_id: str, life_s: int
    ) -> None:
        self._partner_door = partner_door
        self._user_door = user_door
        self._wish = msgspec.json.encode({"user_id": user_id, "expires_in": life_s})
        self._refresh_token: str | None = None
        self._partner = Token(self._mint_partner)
        self.user = Token(self._mint_user)

    async def aclose(self) -> None:
        """Stop minting."""
        await self.user.aclose()
        await self._partner.aclose()

    async def _mint_partner(self) -> TokenAnswer:
        """Exchange the refresh token; without one, or when it is refused, the credentials."""
        path = "/oauth/partner/access-token"
        old, self._refresh_token = self._refresh_token, None
        minted: TokenAnswer | None = None
        if old:
            try:
                form = urlencode({"refresh_token": old}).encode()
                minted = await _ask(self._partner_door, "refresh_token", f"{path}/refresh", form)
            except AuthenticationFailed:
                pass  # how long one is good for is not documented
        if minted is None:
            minted = await _ask(self._partner_door, "partner_token", path, b"")
        self._refresh_token = minted.refresh_token
        return minted

    async def _mint_user(self) -> TokenAnswer:
        path = "/open/partner/users/access-token"
        partner = await self._partner.get()
        try:
            return await _ask(self._user_door, "user_token", path, self._wish, partner)
        except AuthenticationFailed:
            # It may have ended early: asked once more with one that comes from the credentials.
            self._partner.drop(partner)
            self._refresh_token = None
        partner = await self._partner.get()
        return await _ask(self._user_door, "user_token", path, self._wish, partner)


async def _ask(
    door: ProviderHttp, operation: str, path: str, body: bytes, bearer: str | None = None
) -> TokenAnswer:
    headers = {**_JSON, "Authorization": f"Bearer {bearer}"} if bearer else _FORM
    try:
        answer = await door.send(operation, "POST", path, body=body, headers=headers)
    except RequestRejected as error:
        # Whatever is wrong with it is wrong with the account, not with a recording.
        raise AuthenticationFailed(
            "refused the credentials or the user id",
            provider=NAME,
            operation=operation,
            status_code=error.status_code,
        ) from None
    return read(answer, TokenAnswer, operation)
