"""The programs in ``bench/``, in processes of their own as people run them."""

import asyncio
import os
import sys

from tests.paths import ROOT


async def ran(program: str, *arguments: str, within: float) -> tuple[int, str]:
    """Status and output of ``python bench/PROGRAM ARGUMENTS``, which has so many seconds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "bench" / program), *arguments,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()
