"""The command `connectory`: the composition root."""
