"""Durations and quantities as they are written: the types must read exactly what the API server admits."""

DURATIONS = {
    "150ms": 0.15,
    "10s": 10,
    "2m30s": 150,
    "1.5s": 1.5,
    "24h": 86400,
    "0s": 0,
    "1h0m5s": 3605,
    "1s1s": 2,
}
"""Texts from 0s to 168h, with their seconds."""
NO_DURATIONS = [
    "",
    "10",
    "s",
    "-5s",
    "+5s",
    "1d",
    "1 s",
    "1e3s",
    "PT5S",
    "10s\n",
    "9999999s",
    "1s" * 11,
    ".5s",
    "1µs",
]

QUANTITIES = {
    "64Mi": 64 * 2**20,
    "1G": 10**9,
    "80M": 80_000_000,
    "52428800": 52428800,
    "1.5Gi": 1536 * 2**20,
    "1048576.5": 1048577,
    "2000k": 2_000_000,
    "0001Gi": 2**30,
    "1Ti": 2**40,
}
"""Texts from 1Mi to 1Ti, with their bytes."""
NO_QUANTITIES = [
    "",
    "fast",
    "4GB",
    "-1Mi",
    "+50Mi",
    "1e9",
    "1E9",
    "50000000000m",
    ".5Gi",
    "1.Gi",
    "Mi",
    "64 Mi",
    "64Mi\n",
    "1K",
    "0x10Mi",
    "0" * 30 + "1Gi",
]
