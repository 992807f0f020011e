"""Measurements of drift from Python, beside its peers: `benches.run` (search and build) and `benches.ingest` (writes)."""
