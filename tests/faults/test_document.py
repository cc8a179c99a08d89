"""The page for people says what the table says, and the table is whole."""

from tests.faults.document import PAGE, page
from tests.faults.table import CASES, FAULTS, OPEN, SHAPES


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.faults.document"


def test_every_fault_meets_every_system() -> None:
    assert set(SHAPES) == {"onyx", "elastic", "zensearch", "feldera", "lucidworks"}
    missing = {(fault.name, kind) for fault in FAULTS for kind in SHAPES} - {
        (fault.name, kind) for fault, kind in CASES
    }
    # these three have no pages: one answer holds all
    assert missing == {("a page that repeats", kind) for kind in ("zensearch", "feldera", "lucidworks")}


def test_what_is_open_is_in_the_table() -> None:
    assert OPEN.keys() <= {(fault.name, kind) for fault, kind in CASES}
