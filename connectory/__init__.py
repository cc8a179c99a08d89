"""Connectory: one GraphQL API over every connector you run."""

__version__ = "0.1.0"
