"""Lets the tests import the examples' packages, which are not installed."""

import sys

from tests.paths import ROOT

sys.path.extend(str(example) for example in sorted((ROOT / "examples").iterdir()) if example.is_dir())
