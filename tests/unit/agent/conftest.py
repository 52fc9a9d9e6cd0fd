import pytest
from source_setting import Setting


@pytest.fixture
async def setting():
    made = []

    def new(**words):
        made.append(Setting(**words))
        return made[-1]

    yield new
    for each in made:
        await each.close()
