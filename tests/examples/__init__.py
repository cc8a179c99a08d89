"""The examples keep what they promise."""
