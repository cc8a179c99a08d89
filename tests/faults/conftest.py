from tests.faults.fixtures import certificates, grounds  # noqa: F401
