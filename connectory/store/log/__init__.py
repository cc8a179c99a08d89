"""The change log: its rows as records, cursors of it, who reads it as it grows, and who is woken then."""
