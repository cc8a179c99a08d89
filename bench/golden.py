"""A long scripted day of all five simulated systems, as the judge of the judges: ``python bench/golden.py --hours 24``.

Everything runs on one simulated clock that jumps from one happening to the next, with real requests and a poll about
every 60 simulated seconds. Some connectors get into trouble at moments that the script knows, many others are healthy
and lively for the whole day: slow runs, pauses, short queues, single failures, systems that miss a poll, clocks that
are off, gateways that restart. Every condition has to be shown within two polls of the moment from which it holds as it
is documented (its limit included), to be gone within two polls of its end, and never to be shown otherwise. Prints the
confusion table; the status is 0 when all is as scripted, else 1.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from golden_score import lines
from golden_script import direct
from golden_stage import CODES, POLL, Stage
from meters import say

#: Sentences that are printed of what is amiss.
_SHOWN = 60


async def golden(hours: float, seed: int, *, hurry: bool) -> list[str]:
    """What is not as scripted."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="connectory-golden-") as folder:
        async with Stage(seed, Path(folder)) as stage:
            who = direct(stage, hurry=hurry)
            await stage.start()
            end = await stage.run(hours)
    table, wrong = stage.book.judged(end)
    polls = sum(len(polls) for polls in stage.book.polls.values())
    say(f"{who}; {polls} answered polls, {POLL:g} s apart; {time.monotonic() - begun:.0f} s of real time\n")
    for line in lines(table, CODES):
        say(line)
    silent = [code for code in CODES if code not in table]
    return wrong + [f"nothing was scripted of {code}" for code in silent]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24.0, help="simulated hours")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same day")
    parser.add_argument("--hurry", action="store_true", help="troubles come early, for a run of a few hours")
    wanted = parser.parse_args(arguments)
    logging.getLogger("connectory").setLevel(logging.CRITICAL)
    logging.getLogger("sources").setLevel(logging.CRITICAL)
    wrong = asyncio.run(golden(wanted.hours, wanted.seed, hurry=wanted.hurry))
    for sentence in wrong[:_SHOWN]:
        say(sentence)
    if len(wrong) > _SHOWN:
        say(f"and {len(wrong) - _SHOWN} more")
    say("all is as scripted" if not wrong else f"{len(wrong)} things are not as scripted")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
