"""How the code is built, in figures: ``python docs/structure.py [REVISION ...]``, by default the working tree alone.

Prints a Markdown table with a column for each revision, read from git, and one for the working tree: modules of the
largest folders, lengths of modules and functions, lines of each adapter, import circles, ``Any``, private words.
"""

import argparse
import ast
import io
import re
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
PACKAGES = ("connectory", "resolvers", "schema", "sources")
KINDS = ("elastic", "feldera", "lucidworks", "onyx", "zensearch")
#: The most modules that a folder shall hold, and the most lines that a function shall have.
CROWDED, LONG = 20, 40
#: Words that no reader would search for, as they stand in names, comments and texts, and what is said instead.
WORDS: Mapping[str, str] = {
    r"Desks?|desks?": "system session",
    r"[Nn]eighbours?": "peers",
    r"Wire|_?wire": "notify channel",
    r"[Kk]itchens?": "shared rendering",
    r"Moments": "shared snapshots",
    r"Surroundings": "broadcast context",
    r"Farewells?|_FAREWELL": "close reason, time to close",
    r"telling": "access log",
    r"masking": "error presentation",
    r"Writing": "write health",
    r"_?whole(?=\()": "shielded",
    r"Picture|Present|Standing|Outlook|Absence": "notice state and its parts",
    r"portions?|strides?|doomed": "batch, batch size, expired",
    r"Temper|tempers?|[Aa]ilments?": "profile, fault",
    r"stir|stirred|burdened": "wake, changed, with conditions",
    r"quiet(?=\.|\b\s*=)": "stall",
    r"Course|course": "progress tracking",
    r"[Ss]tretch(?:es)?": "segments (the schema, columns and settings keep their names)",
}


@dataclass(frozen=True)
class Code:
    """The modules of the four packages: path from the root → text."""

    texts: Mapping[str, str]

    @classmethod
    def of_revision(cls, revision: str) -> "Code":
        """Raises CalledProcessError where git does not know it."""
        found = subprocess.run(["git", "archive", revision, *PACKAGES], cwd=ROOT, capture_output=True, check=True)
        texts = {}
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".py") else None
                if file is not None:
                    texts[member.name] = file.read().decode()
        return cls(texts)

    @classmethod
    def of_files(cls) -> "Code":
        """The working tree, migrations included."""
        paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
        return cls({path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths})

    @cached_property
    def trees(self) -> Mapping[str, ast.Module]:
        return {path: ast.parse(text) for path, text in self.texts.items()}

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """Dotted name → path."""
        return {path.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path for path in self.texts}

    def lines(self, *, under: str = "") -> int:
        return sum(text.count("\n") for path, text in self.texts.items() if path.startswith(under))

    # ---- imports

    @cached_property
    def imports(self) -> Mapping[str, frozenset[str]]:
        """Module → the modules of ours that it imports, those for type checkers and within functions included."""
        return {name: frozenset(self._imported(name, self.trees[path])) for name, path in self.modules.items()}

    def _imported(self, importer: str, tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found = inner if inner in self.modules else node.module
                    if found in self.modules and found != importer:
                        yield found
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in self.modules)

    def circles(self) -> list[list[str]]:
        """Groups of modules that import each other in a circle (strongly connected components, by Tarjan)."""
        order: dict[str, int] = {}
        lowest: dict[str, int] = {}
        stack: list[str] = []
        found: list[list[str]] = []

        def visit(name: str) -> None:
            order[name] = lowest[name] = len(order)
            stack.append(name)
            for other in sorted(self.imports[name]):
                if other not in order:
                    visit(other)
                if other in stack:
                    lowest[name] = min(lowest[name], lowest[other])
            if lowest[name] == order[name]:
                at = stack.index(name)
                if len(stack) - at > 1:
                    found.append(sorted(stack[at:]))
                del stack[at:]

        for name in self.modules:
            if name not in order:
                visit(name)
        return sorted(found)

    # ---- sizes

    def folders(self) -> Mapping[str, int]:
        """Folder → modules in it, folders of migrations left out: each revision is one."""
        found: dict[str, int] = {}
        for path in self.texts:
            folder = str(PurePosixPath(path).parent)
            if not folder.endswith("migrations/versions"):
                found[folder] = found.get(folder, 0) + 1
        return found

    def functions(self) -> Mapping[str, int]:
        """``path:line name`` → lines of the function."""
        return {
            f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
            for path, tree in self.trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def variables(self, names: frozenset[str]) -> int:
        """How often a variable, an argument or an attribute of one of these names is written or read."""
        nodes = (node for tree in self.trees.values() for node in ast.walk(tree))
        return sum(
            (isinstance(node, ast.Name) and node.id in names)
            or (isinstance(node, ast.arg) and node.arg in names)
            or (isinstance(node, ast.Attribute) and node.attr in names)
            for node in nodes
        )

    def words(self) -> Mapping[str, int]:
        """Private word → how often it stands there, as a word of its own or a part of a name in camel case."""
        text = "\n".join(self.texts.values())
        return {word: len(re.findall(rf"(?<![A-Za-z])(?:{word})(?![a-z])", text)) for word in WORDS}


def figures(code: Code) -> Iterator[tuple[str, str]]:
    """What is measured, and what came of it."""
    lengths = {path: text.count("\n") for path, text in code.texts.items()}
    folders, functions = code.folders(), code.functions()
    longest = max(lengths, key=lambda path: lengths[path])
    yield "modules", f"{len(lengths):,}"
    yield "lines", f"{sum(lengths.values()):,}"
    for package in PACKAGES:
        inside = {folder: count for folder, count in folders.items() if folder.split("/")[0] == package}
        largest = max(inside, key=lambda folder: inside[folder])
        yield f"most modules in a folder of {package}", f"{inside[largest]} ({largest})"
    crowded = [folder for folder, count in folders.items() if count > CROWDED]
    yield f"folders with more than {CROWDED}", f"{len(crowded)}"
    yield "median module, lines", f"{statistics.median(lengths.values()):g}"
    yield "longest module, lines", f"{lengths[longest]} ({longest})"
    yield (
        "modules under 30 lines, `__init__.py` left out",
        str(sum(1 for path, count in lengths.items() if count < 30 and not path.endswith("__init__.py"))),
    )
    yield f"functions over {LONG} lines", str(sum(length > LONG for length in functions.values()))
    for kind in KINDS:
        simulator = code.lines(under=f"sources/{kind}/simulator/")
        adapter = code.lines(under=f"sources/{kind}/") - simulator
        yield f"{kind}: adapter and simulator, lines", f"{adapter:,} and {simulator:,}"
    yield "shared by adapters, lines", f"{_shared(code):,}"
    names = [{PurePosixPath(path).name for path in code.texts if path.startswith(f"sources/{kind}/")} for kind in KINDS]
    yield "file names in all five kinds, of all", f"{len(set.intersection(*names))} of {len(set.union(*names))}"
    yield "import circles", str(len(code.circles()))
    yield "`Any`", str(len(re.findall(r"\bAny\b", "\n".join(code.texts.values()))))
    yield "variables named `told` or `said`", str(code.variables(frozenset({"told", "said", "_told", "_said"})))
    words = code.words()
    yield "private words", f"{sum(words.values()):,}"
    for word, count in words.items():
        yield f"`{_readable(word)}` → {WORDS[word]}", f"{count:,}"


def _shared(code: Code) -> int:
    """What stands in ``sources/`` itself, and the ground that moved out of it."""
    own = sum(text.count("\n") for path, text in code.texts.items() if re.fullmatch(r"sources/\w+\.py", path))
    return own + code.lines(under="connectory/http/") + code.lines(under="connectory/redaction")


def _readable(word: str) -> str:
    return re.sub(r"\(\?[:=].*?\)\??|\[(\w)\w\]|_\?|\?|\\\w", lambda found: found[1] or "", word).replace("|", ", ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="*", metavar="REVISION")
    parser.add_argument("--circles", action="store_true", help="name the import circles and the long functions too")
    asked = parser.parse_args()
    versions = {name: Code.of_revision(name) for name in asked.revisions} | {"here": Code.of_files()}
    columns = {name: dict(figures(code)) for name, code in versions.items()}
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for row in next(iter(columns.values())):
        lines.append(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")
    if asked.circles:
        here = versions["here"]
        lines += [f"circle: {', '.join(circle)}" for circle in here.circles()]
        lines += [f"{length} lines: {name}" for name, length in here.functions().items() if length > LONG]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
