"""Who asks, as long as nobody has to authenticate."""

from connectory.model import Role
from connectory.settings import ServerSettings
from resolvers.context import Viewer


def viewer(server: ServerSettings) -> Viewer:
    """Everybody who reaches a gateway on loopback operates it; anybody else may read (``server.allow_anonymous``)."""
    return Viewer("local", Role.OPERATOR) if server.is_local else Viewer("anonymous", Role.VIEWER)
