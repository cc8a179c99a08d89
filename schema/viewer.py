"""Who is asking."""

import strawberry

from connectory.model import Role
from schema import enums as enums


@strawberry.type(description="Who is asking, as far as the gateway knows.")
class Viewer:
    name: str = strawberry.field(description="The name that authentication gave.")
    role: Role = strawberry.field(description="What the viewer may do. Offer only the actions that it allows.")
