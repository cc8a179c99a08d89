"""The short form of the soak: a quarter of a minute of troubles in all five systems at once."""

from tests.e2e.bench import ran


async def test_soak() -> None:
    status, said = await ran("soak.py", "--minutes", "0.25", "--speed", "20", "--seed", "1", within=110)
    assert status == 0, said
    assert "nothing was found" in said
