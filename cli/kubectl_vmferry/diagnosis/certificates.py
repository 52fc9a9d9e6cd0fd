"""When certificates expire."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from kubectl_vmferry.diagnosis.findings import Finding, error, ok, warning
from kubectl_vmferry.views.figures import span

_SOON = timedelta(days=14)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x17, 0x18
"""Tags of ASN.1 (X.690)."""
_BEFORE_VALIDITY = 3
"""Of a certificate's fields after its version: serial number, signature algorithm, issuer (RFC 5280)."""
_LONG = 0x80


def expiry(subject: str, end: datetime, now: datetime, cure: str) -> Finding:
    """Whether a certificate still holds."""
    left = end - now
    if left <= timedelta(0):
        return error(subject, f"expired {span(-left)} ago", cure)
    if left < _SOON:
        return warning(subject, f"expires in {span(left)}", cure)
    return ok(subject, f"holds until {end:%Y-%m-%d}")


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
    first = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
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
