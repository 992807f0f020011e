//! The time of rows that come without one: the clock's.
//!
//! Layer 6. A write fills its payload before it is logged, so that replay finds the same times.

use crate::state::CollectionState;
use crate::types::{Columns, FieldType, Value};
use std::borrow::Cow;

/// The payload of `rows` rows with `now` as the time of those that lack one, in collections whose rows have times.
pub fn timed<'a>(
    collection: &CollectionState,
    rows: usize,
    payload: Option<&'a Columns>,
    now: i64,
) -> Option<Cow<'a, Columns>> {
    let Some(time) = collection.schema.lifetime.time.as_deref().filter(|_| rows > 0) else {
        return payload.map(Cow::Borrowed);
    };
    let fill = |columns: &Columns| columns.filled(time, Value::Timestamp(now), FieldType::Timestamp);
    match payload {
        None => fill(&Columns::new(rows)).map(Cow::Owned),
        Some(columns) => Some(fill(columns).map_or(Cow::Borrowed(columns), Cow::Owned)),
    }
}
