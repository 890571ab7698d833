"""Addresses that a provider names and we did not write: which of them may be gone to.

What belongs here: judging an address by its text and by what a name resolves to; pure. What does
not: going there (``http.py``, its only caller). The rule keeps a provider, or whoever speaks in its
place, from pointing us at machines of our own network.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def find_objection(url: str, *, own_url: str) -> str | None:
    """Say why an address must not be gone to; None when it may.

    Args:
        url: The address.
        own_url: The provider's base URL. While that is itself on this machine (an emulator),
            addresses on this machine are fine, without TLS too.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "an address that is none"
    if not host or parts.username is not None or parts.password is not None:
        return "an address without a host, or with a password"
    if _is_this_machine(host):
        is_home = parts.scheme in {"http", "https"} and _is_this_machine(urlsplit(own_url).hostname)
        return None if is_home else "an address on this machine"
    if parts.scheme != "https":
        return "an address without TLS"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if is_public(host) else "an address that is not public"


def is_public(address: str) -> bool:
    """Say whether an IP address belongs to the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_global and not (mapped or ip).is_multicast


def _is_this_machine(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
