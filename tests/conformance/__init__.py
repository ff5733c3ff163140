"""Each rule of tus 1.0.0 as this server keeps it, over real HTTP, against a process started by its command line."""
