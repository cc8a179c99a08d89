"""Where the tests find what they do not make themselves."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Example payloads of the upstream systems; all values are invented.
EXAMPLES = Path(__file__).parent / "payloads"
#: The least that the schema serves.
CONTRACT = Path(__file__).parent / "contract" / "schema.graphql"
