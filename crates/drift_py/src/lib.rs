//! Python binding of drift.
