"""libvirt's way to number versions."""


def version_in_words(number: int) -> str:
    """From a million for major and a thousand for minor."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
