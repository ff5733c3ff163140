"""A server for resumable uploads: tus 1.0.0 on S3 and MySQL, or on a directory and SQLite."""

__version__ = "0.1.0"
