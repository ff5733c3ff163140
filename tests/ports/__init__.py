"""One contract suite for each port, through which every adapter goes."""
