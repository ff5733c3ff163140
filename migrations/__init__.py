"""The schema, step by step; `tusfm migrate` runs the steps that a database lacks."""
