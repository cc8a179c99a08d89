"""Where facts come from: one folder per upstream system. No GraphQL, no SQL."""
