"""The short form of the golden world: a few simulated hours in which every condition comes and goes."""

from tests.e2e.bench import ran


async def test_conditions_come_and_go_as_the_script_says() -> None:
    status, said = await ran("golden.py", "--hours", "2.7", "--hurry", "--seed", "1", within=150)
    assert status == 0, said
    assert "all is as scripted" in said
