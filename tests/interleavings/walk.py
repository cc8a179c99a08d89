"""A random walk through what can happen, which can be walked again; and the shortest way to what it found."""

import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.interleavings.ground import Ground
from tests.interleavings.rules import RULES

#: Seconds of search for a shorter way.
_SEARCH = 60.0


@dataclass(frozen=True)
class Step:
    rule: str
    seed: int

    def __str__(self) -> str:
        return f"{self.rule}({self.seed})"

    @classmethod
    def of(cls, text: str) -> "Step":
        """From how it is told."""
        rule, _, seed = text.removesuffix(")").partition("(")
        return cls(rule, int(seed))


@dataclass
class Found:
    """``error`` at the end of this way, in the world of this number."""

    steps: Sequence[Step]
    error: Exception


#: An empty store's URL for each walk.
Fresh = Callable[[], Awaitable[str]]


async def walk(url: str, seed: int, steps: int, counted: Counter[str]) -> Found | None:
    """So many steps, each by a rule that applies."""
    chance, taken = Random(seed), list[Step]()
    try:
        async with Ground(url) as ground:
            while len(taken) < steps:
                (rule,) = chance.choices([*RULES], [weight for weight, _ in RULES.values()])
                step = Step(rule, chance.randrange(10**6))
                taken.append(step)
                if await _take(ground, step):
                    counted[rule] += 1
                else:
                    taken.pop()
    except Exception as error:
        return Found(taken, error)
    return None


async def replay(url: str, steps: Sequence[Step]) -> Exception | None:
    """The same steps; one that does not apply is left out."""
    try:
        async with Ground(url) as ground:
            for step in steps:
                await _take(ground, step)
    except Exception as error:
        return error
    return None


async def _take(ground: Ground, step: Step) -> bool:
    _, rule = RULES[step.rule]
    ground.upstream.revision += 1
    if not await rule(ground, Random(step.seed)):
        return False
    ground.seconds += 1
    await ground.settle()
    return True


async def shortest(fresh: Fresh, found: Found) -> Found:
    """Leave out steps, many at once first, as long as what is left ends in the same place."""
    steps, error, size = list(found.steps), found.error, len(found.steps) // 2
    deadline = time.monotonic() + _SEARCH
    while size and time.monotonic() < deadline:
        start = 0
        while start < len(steps) and time.monotonic() < deadline:
            fewer = steps[:start] + steps[start + size :]
            again = await replay(await fresh(), fewer)
            if again is not None and _place(again) == _place(error):
                steps, error = fewer, again
            else:
                start += size
        size //= 2
    return Found(steps, error)


def _place(error: Exception) -> tuple[str, int | None]:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return last.filename, last.lineno


async def first_wrong(fresh: Fresh, seed: int, steps: int, *, each: int) -> tuple[str, Exception]:
    """What is found where ``walks`` would fail, and where that was."""
    counted: Counter[str] = Counter()
    for world in range(steps // each):
        found = await walk(await fresh(), seed + world, each, counted)
        if found is not None:
            place = f"seed {seed + world}, after {counted.total()} steps in all"
            return f"{place}: {type(found.error).__name__}: {found.error}", found.error
    raise AssertionError(f"nothing is found in {steps} steps")


async def walks(fresh: Fresh, seed: int, steps: int, *, each: int) -> str:
    """So many steps, ``each`` in a world of its own; tells what was walked, or fails with the shortest way to what is
    wrong."""
    counted: Counter[str] = Counter()
    for world in range(-(-steps // each)):
        wanted = min(each, steps - counted.total())
        found = await walk(await fresh(), seed + world, wanted, counted)
        if found is not None:
            least = await shortest(fresh, found)
            way = "\n".join(f"  {step}" for step in least.steps)
            where = f"seed {seed + world}, {len(found.steps)} steps: {found.error}"
            raise AssertionError(f"{where}\nThe shortest way, of {len(least.steps)} steps:\n{way}") from least.error
    rules = ", ".join(f"{rule} {count}" for rule, count in counted.most_common())
    return f"seeds {seed} to {seed + world}: {counted.total()} steps: {rules}"
