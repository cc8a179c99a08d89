"""Alembic, called from the program: which revision a store is at, and the way to ours.

It is imported when it is called: whoever only prints the schema has no store.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_FOLDER = Path(__file__).parent


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config


@cache
def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


@cache
def head() -> str:
    """The newest revision that this version knows."""
    found = _scripts().get_current_head()
    assert found is not None
    return found


def current(connection: Connection) -> str | None:
    """The revision that the store is at; None when it has no tables of ours."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def is_unknown(revision: str | None) -> bool:
    """Whether a newer version has given the store this revision."""
    return revision is not None and revision not in {script.revision for script in _scripts().walk_revisions()}


def upgrade(connection: Connection) -> None:
    """Run what is missing, within the caller's transaction."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
