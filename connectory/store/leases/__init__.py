"""Which gateway does what only one may do."""
