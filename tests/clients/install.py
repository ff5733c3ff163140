"""Fetch the JavaScript clients that the tests run, at their pinned versions, with whatever Node the page was built with."""

import sys
from pathlib import Path

from tusfm.web.build import BuildError, find_node


def main() -> None:
    """Fetch, or say in a sentence why not."""
    try:
        find_node().install(Path(__file__).parent)
    except BuildError as error:
        sys.exit(f"The JavaScript clients could not be fetched. {error}")


if __name__ == "__main__":
    main()
