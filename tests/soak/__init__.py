"""The gate and the soak: each row of the figures in docs/operations.md in parts, which a later run goes on with."""
