"""Claims of speed and memory, each beside something to compare with, in one run."""
