"""tus 1.0.0: what a client may ask, and how it is answered."""
