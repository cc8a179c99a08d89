"""Whatever an upstream says can be read through GraphQL.

The example payloads are served over HTTP, polled by the real adapter into a real store, and asked for by one query over
everything. Each module's tables name the place of each key; a key that is in no table, and no deliberate exception,
fails its test.
"""
