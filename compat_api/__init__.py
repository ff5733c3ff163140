"""The older service's `/api/v1/file` endpoints, on the same engine; they come with a later version."""
