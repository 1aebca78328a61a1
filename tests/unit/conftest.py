"""The two stories as logs, for tests that only read them."""

import pytest
from unit.handmade_log import engine_story, keeper_story, write

from replay.log import Log


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    with Log(write(tmp_path_factory.mktemp("engine") / "log.duckdb", engine_story())) as log:
        yield log


@pytest.fixture(scope="session")
def keepers(tmp_path_factory):
    with Log(write(tmp_path_factory.mktemp("keepers") / "log.duckdb", keeper_story())) as log:
        yield log
