"""A migration that does not end before its policy grants more, whatever else the machine has to do."""

from typing import Any

HOPELESS_GUEST: dict[str, Any] = {"dirty_rate": 160_000_000}
"""It writes three times what is sent: on a busy machine a guest writes but half as fast."""
HOPELESS: dict[str, Any] = {"maxDowntime": "10ms", "bandwidth": {"perMigration": "50Mi"}}
"""That guest needs 1.3 s, and as long for each pass: in each it writes all of its 64 MiB."""
SLOW_POST_COPY: dict[str, Any] = {**HOPELESS, "bandwidth": {"perMigration": "50Mi", "postCopy": "5Mi"}}
"""As HOPELESS; a post-copy of that guest takes some 15 s."""
