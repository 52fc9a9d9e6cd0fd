"""When certificates expire."""

from datetime import datetime, timedelta

from kubectl_vmferry.diagnosis.findings import Finding, error, ok, warning
from kubectl_vmferry.views.figures import span
from vmferry_agent.decisions.certificates import SOON


def expiry(subject: str, end: datetime, now: datetime, cure: str) -> Finding:
    """Whether a certificate still holds."""
    left = end - now
    if left <= timedelta(0):
        return error(subject, f"expired {span(-left)} ago", cure)
    if left < SOON:
        return warning(subject, f"expires in {span(left)}", cure)
    return ok(subject, f"holds until {end:%Y-%m-%d}")
