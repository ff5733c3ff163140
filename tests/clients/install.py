"""Fetch the JavaScript clients that the tests run, at their pinned versions, with whatever Node the page was built with."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NODE_OF_THE_PAGE = Path(sys.prefix) / "node-bin"


def main() -> None:
    """Fetch, or say in a sentence why not."""
    npm = shutil.which("npm") or shutil.which("npm", path=str(NODE_OF_THE_PAGE))
    if npm is None:
        sys.exit("The JavaScript clients could not be fetched: npm is missing.")
    command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The JavaScript clients could not be fetched: {(done.stderr.strip().splitlines() or ['npm failed'])[-1]}.")


if __name__ == "__main__":
    main()
