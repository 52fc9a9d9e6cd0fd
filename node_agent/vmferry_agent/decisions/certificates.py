"""When certificates end, read out of them without a library: of all that X.509 is, two dates are wanted."""

import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from vmferry_agent.decisions.preflight import Finding, Level

SOON = timedelta(days=14)
"""Less than this is left: it should have been renewed."""
_RENEW = "renew it, and have libvirtd take it: virt-admin server-update-tls libvirtd"
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x17, 0x18
"""Tags of ASN.1 (X.690)."""
_BEFORE_VALIDITY = 3
"""Of a certificate's fields after its version: serial number, signature algorithm, issuer (RFC 5280)."""
_LONG = 0x80
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def ending(ends: Mapping[str, datetime], now: datetime) -> list[Finding]:
    """What is to be said of the certificates of this host.

    Args:
        ends: When each ends, by its file.
        now: The time.
    """
    late = [
        Finding(level=Level.WARNING, what=f"{file} {_left(end, now)} ({end:%Y-%m-%d})", cure=_RENEW)
        for file, end in sorted(ends.items())
        if end - now < SOON
    ]
    if late or not ends:
        return late
    return [Finding(level=Level.OK, what=f"certificates hold until {min(ends.values()):%Y-%m-%d}")]


def _left(end: datetime, now: datetime) -> str:
    return "has ended" if end <= now else f"ends in {(end - now).days} days"


def latest_end(bundle: str) -> datetime:
    """When the last one of several authorities ends.

    Raises:
        ValueError: There is none.
    """
    return max([not_after(each) for each in _PEM.findall(bundle)] or [not_after(bundle)])


def not_after(certificate: str | bytes) -> datetime:
    """When it expires.

    Args:
        certificate: As PEM, of which the first one counts, or as DER.

    Raises:
        ValueError: It is none.
    """
    der = _der(certificate) if isinstance(certificate, str) else certificate
    body = _content(_content(der))
    fields = list(_elements(body))
    after_version = fields[1:] if fields and fields[0][0] == 0xA0 else fields  # noqa: PLR2004 - [0] EXPLICIT
    if len(after_version) <= _BEFORE_VALIDITY:
        raise ValueError("not a certificate")
    validity = list(_elements(after_version[_BEFORE_VALIDITY][1]))
    return _time(*validity[1])


def _der(pem: str) -> bytes:
    first = _PEM.search(pem)
    if first is None:
        raise ValueError("there is no certificate in it")
    return ssl.PEM_cert_to_DER_cert(first[0])


def _content(data: bytes) -> bytes:
    for tag, content in _elements(data):
        if tag == _SEQUENCE:
            return content
        break
    raise ValueError("not a certificate")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 2 <= len(data):
        tag, length = data[place], data[place + 1]
        place += 2
        if length & _LONG:
            size = length & ~_LONG
            length = int.from_bytes(data[place : place + size])
            place += size
        yield tag, data[place : place + length]
        place += length


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        century = "20" if text < "50" else "19"
        text = century + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
