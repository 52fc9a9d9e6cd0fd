"""What an operator may want, for the tables."""

from datetime import timedelta

from vmferry_api.migrations import Desired, DesiredState, MigrationTechnique


def desired(**changes: object) -> Desired:
    """The parameters of a plain pre-copy, with these changes."""
    plain = Desired(
        revision=1,
        state=DesiredState.MIGRATE,
        attempt=1,
        technique=MigrationTechnique.PRE_COPY,
        max_downtime=timedelta(milliseconds=100),
        bandwidth=50 * 2**20,
        stalling_limit=timedelta(seconds=10),
        progress_timeout=timedelta(seconds=150),
    )
    return plain.replace(**changes)
