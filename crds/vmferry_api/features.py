"""What a host can really do, as agents report it and checks of policies read it."""

from enum import StrEnum


class Feature(StrEnum):
    """One thing that not every host can do."""

    POST_COPY = "PostCopy"
    """Take part in post-copy: QEMU is new enough, and may use userfaultfd."""
    PARALLEL = "ParallelConnections"
    """QEMU's multifd."""
    ZLIB = "Zlib"
    """Compression by zlib in parallel connections."""
    ZSTD = "Zstd"
    """Compression by zstd in parallel connections."""
    ZERO_COPY = "ZeroCopy"
    """Send without copying, with the memory locked that it needs."""
    TLS = "TLS"
    """QEMU has certificates for an encrypted stream."""
