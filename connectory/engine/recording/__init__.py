"""What was seen of a system becomes rows and events, in one transaction. The way, in its order:

1. ``facts``: facts → rows. What an answer says of jobs and connectors, as columns (``rows``).
2. ``jobs``, then ``connectors``: rows → differences from what is stored. A job gets its place (``order``), its progress
   is tracked (``progress_tracking``), and what it had done before it was resumed is kept (``segments``); a
   connector sums up its jobs.
3. ``events``: differences → rows of the log, by the fields that GraphQL shows.
4. ``commit``: the transaction. It alone asks the store and writes to it; it hands each step what that needs and, when
   all is committed, the memory what it is to remember.

Afterwards ``conditions`` judges what was seen, in a transaction of its own: a ``difference`` from the conditions that
hold.
"""
