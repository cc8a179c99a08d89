"""Notices: one when something fails or gets stuck, one when it recovers; sent to receivers, and kept in the store."""
