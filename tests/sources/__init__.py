import pytest

pytest.register_assert_rewrite("tests.sources.contract", "tests.sources.payloads")
