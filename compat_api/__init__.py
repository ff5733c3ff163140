"""The older service's `/api/v1/file` endpoints, on the same engine: router, forms, schemas, errors."""
