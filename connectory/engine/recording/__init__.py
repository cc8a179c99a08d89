"""From facts to rows, to differences, to events, in one transaction."""
