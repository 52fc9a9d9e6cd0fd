"""What a token of a service account says of itself."""

import base64
import json


def lifetime(token: str) -> int:
    """For how many seconds it holds in all."""
    payload = token.strip().split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    seconds: int = told["exp"] - told["iat"]
    return seconds
