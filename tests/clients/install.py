"""Fetch the JavaScript packages that a folder's lock file pins, with whatever Node the page was built with."""

import sys
from pathlib import Path

from tusfm.web.build import BuildError, find_node


def main() -> None:
    """Fetch, or say in a sentence why not."""
    try:
        find_node().install(Path(sys.argv[1]))
    except BuildError as error:
        sys.exit(f"What {sys.argv[1]} needs could not be fetched. {error}")


if __name__ == "__main__":
    main()
