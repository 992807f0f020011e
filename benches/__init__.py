"""Measurements of drift beside its peers: `benches.run` (search and build) and `benches.ingest` (writes)."""
