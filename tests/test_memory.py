"""Memory that a burst took goes back to the system."""

import subprocess
import sys

import pytest

#: As a flood of bodies: as large blocks, in threads too, beside small ones that stay and lie between them.
_BURST = """
import sys, threading
from connectory.web.memory import return_what_is_freed

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

def burst():
    blocks = []
    for _ in range(3):
        blocks = [bytearray(1_000_000) for _ in range(50)]
        kept.extend(bytearray(5_000) for _ in range(20))

if sys.argv[1] == "returned":
    return_what_is_freed()
kept = []
before = resident()
for thread in [threading.Thread(target=burst) for _ in range(4)]:
    thread.start()
    thread.join()
burst()
print((resident() - before) >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
def test_large_blocks_are_returned() -> None:
    def left(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", _BURST, how], capture_output=True, check=True).stdout)

    assert left("returned") < 10
    assert left("default") > 40  # what it is good for


#: Blocks too small to be asked of the system one by one; each thirtieth stays.
_LITTER = """
import asyncio, ctypes, sys
from connectory.web import memory

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

async def main():
    memory.EVERY = 0.05
    task = asyncio.create_task(memory.return_what_lies_between()) if sys.argv[1] == "returned" else None
    await asyncio.sleep(0.01)
    before = resident()
    kept = [bytearray(60_000) for _ in range(1_500)]
    kept = kept[::30]
    for _ in range(100 if task else 1):
        await asyncio.sleep(0.05)
        if resident() - before < 20 << 20:
            break
    print((resident() - before) >> 20)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the function is glibc's")
def test_what_lies_between_is_returned() -> None:
    def left(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", _LITTER, how], capture_output=True, check=True).stdout)

    assert left("returned") < 20
    assert left("default") > 40
