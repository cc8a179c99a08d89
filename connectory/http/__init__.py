"""Requests to other systems, as adapters and notices make them: ground that knows nobody but the shared vocabulary."""
