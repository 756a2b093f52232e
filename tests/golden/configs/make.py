"""Writes anew what every config in configs/ resolves to, and docs/config.md.

  python tests/golden/configs/make.py

A change of a config shows in the diff of these files: look at it before you commit it.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import config_files  # noqa: E402


def main():
    for path in config_files.GOLDEN.glob("*.json"):
        path.unlink()
    for (name, argument), file in config_files.cases().items():
        (config_files.GOLDEN / file).write_text(config_files.resolved(name, argument))
    config_files.DOCUMENT.write_text(config_files.document())


if __name__ == "__main__":
    main()
