"""What somebody might send who means no good, on raw sockets, to a server of the embedded stack."""
