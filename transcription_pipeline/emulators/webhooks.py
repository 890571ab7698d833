"""One POST to a customer's webhook, and what came of it.

What every vendor's deliveries have in common; what they say, how they are signed and whether they
are repeated is in each service's own ``webhooks.py``, the only callers.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from yarl import URL


async def deliver(
    http: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    redirects: int = 0,
) -> int | None:
    """POST JSON and return the last status; None where nobody answered.

    Args:
        http: The service's client.
        url: The customer's address, asked for as it is written.
        body: What is told, in JSON.
        headers: Besides the content type.
        timeout_s: Of each request.
        redirects: How many 3xx answers are followed, by the same POST to the address they name.
    """
    try:
        address = URL(url, encoded=True)
        while True:
            async with http.post(
                address,
                data=body,
                headers={"content-type": "application/json", **headers},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                named = response.headers.get("location")
                if not (redirects and named and 300 <= response.status < 400):
                    return response.status
            redirects -= 1
            address = address.join(URL(named, encoded=True))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
