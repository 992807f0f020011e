"""Measurements of drift: `benches.run` (search and build beside peers), `benches.ingest` (writes), `benches.churn`."""
