//! The time of rows, and when they expire.
//!
//! Layer 0. A collection may name a timestamp field that is each row's time, and a time to live that counts from it; any row
//! may carry a moment of its own in [`EXPIRES_FIELD`]. A row is expired from the earlier of the two on. Times are microseconds
//! since 1970 UTC.

use super::predicate::{Comparison, Literal, Test};
use super::{Columns, Field, FieldType, Predicate, Schema, Value, payload};
use crate::error::{Error, Result};

/// Field of the moment at which a row expires, whatever its collection says.
pub const EXPIRES_FIELD: &str = "_expires";

/// The moment at which rows expire that never do.
pub const NEVER: i64 = i64::MAX;

/// How long rows live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Field that is each row's time.
    pub time: Option<String>,
    /// Time after it at which a row expires.
    pub ttl: Option<i64>,
}

impl Lifetime {
    /// When a row expires; [`NEVER`] for never.
    pub fn end(&self, columns: &Columns, row: usize) -> i64 {
        let moment = |name: &str| match columns.get(name).map(|column| column.get(row)) {
            Some(Value::Timestamp(moment)) => Some(moment),
            _ => None,
        };
        let by_time = self.ttl().and_then(|(time, ttl)| moment(time).map(|moment| moment.saturating_add(ttl)));
        moment(EXPIRES_FIELD).unwrap_or(NEVER).min(by_time.unwrap_or(NEVER))
    }

    /// The field and the time to live of the rows that expire by their time.
    pub fn ttl(&self) -> Option<(&str, i64)> {
        self.time.as_deref().zip(self.ttl)
    }

    /// Rows that have not expired at `now`.
    pub fn alive_at(&self, now: i64) -> Predicate {
        let until = |name: &str, moment| {
            Predicate::Test(name.to_owned(), Test::Compare(Comparison::Le, Literal::Timestamp(moment)))
        };
        let by_time = self.ttl().map(|(time, ttl)| until(time, now.saturating_sub(ttl)));
        let expired = std::iter::once(until(EXPIRES_FIELD, now)).chain(by_time);
        Predicate::Not(Box::new(Predicate::Or(expired.collect())))
    }
}

impl Schema {
    /// The same schema with the time of its rows. Fixed fields gain the time field if they lack it.
    pub fn with_lifetime(mut self, lifetime: Lifetime) -> Result<Schema> {
        match (&lifetime.time, lifetime.ttl) {
            (None, Some(_)) => {
                return Err(Error::invalid("ttl counts from the time of a row: name its field with time= as well"));
            }
            (_, Some(ttl)) if ttl <= 0 => {
                return Err(Error::invalid(format!("ttl is {ttl} microseconds: it must be above 0")));
            }
            (Some(time), _) => {
                payload::check_name(time)?;
                if time == EXPIRES_FIELD {
                    return Err(Error::invalid(format!(
                        "time is {time:?}, the field of the moments at which rows expire: name another"
                    )));
                }
                match self.fields.iter().find(|field| field.name == *time).map(|field| field.kind) {
                    Some(FieldType::Timestamp) => {}
                    Some(kind) => {
                        return Err(Error::invalid(format!(
                            "time is {time:?}, which fields declare as {}: it must be timestamp",
                            kind.name()
                        )));
                    }
                    None if self.fields.is_empty() => {}
                    None => self.fields.push(Field { name: time.clone(), kind: FieldType::Timestamp }),
                }
            }
            _ => {}
        }
        Ok(Schema { lifetime, ..self })
    }

    /// The fields that a new collection has.
    pub fn first_fields(&self) -> Vec<Field> {
        match &self.lifetime.time {
            Some(time) if self.fields.is_empty() => vec![Field { name: time.clone(), kind: FieldType::Timestamp }],
            _ => self.fields.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Column, IdType, Metric};
    use proptest::prelude::*;

    fn schema() -> Schema {
        Schema::new(2, Metric::L2, IdType::Int).unwrap()
    }

    #[test]
    fn a_lifetime_needs_a_time_and_a_length() {
        let lifetime = |time: Option<&str>, ttl| Lifetime { time: time.map(str::to_owned), ttl };
        assert!(schema().with_lifetime(lifetime(None, Some(1))).is_err());
        assert!(schema().with_lifetime(lifetime(Some("at"), Some(0))).is_err());
        assert!(schema().with_lifetime(lifetime(Some(EXPIRES_FIELD), None)).is_err());
        let year = Field { name: "year".to_owned(), kind: FieldType::Int };
        let fixed = schema().with_fields(vec![year.clone()]).unwrap();
        assert!(fixed.clone().with_lifetime(lifetime(Some("year"), None)).is_err());
        let timed = fixed.with_lifetime(lifetime(Some("at"), Some(5))).unwrap();
        let at = Field { name: "at".to_owned(), kind: FieldType::Timestamp };
        assert_eq!(timed.fields, [year, at.clone()]);
        assert_eq!(schema().with_lifetime(lifetime(Some("at"), None)).unwrap().first_fields(), [at]);
    }

    proptest! {
        #[test]
        fn the_predicate_of_the_living_says_what_the_end_of_a_row_says(
            rows in prop::collection::vec((prop::option::of(-20i64..20), prop::option::of(-20i64..20)), 1..20),
            ttl in prop::option::of(1i64..20),
            now in -30i64..30,
        ) {
            let lifetime = Lifetime { time: Some("at".to_owned()), ttl };
            let mut columns = Columns::new(rows.len());
            for (name, pick) in [("at", 0), (EXPIRES_FIELD, 1)] {
                let mut column = Column::new(FieldType::Timestamp);
                rows.iter().for_each(|row| {
                    let value = if pick == 0 { row.0 } else { row.1 };
                    column.push(value.map_or(Value::Null, Value::Timestamp));
                });
                columns.add(name, column).unwrap();
            }
            for (row, (at, expires)) in rows.iter().enumerate() {
                let expired = expires.is_some_and(|moment| moment <= now)
                    || at.zip(ttl).is_some_and(|(at, ttl)| at + ttl <= now);
                prop_assert_eq!(lifetime.end(&columns, row) <= now, expired);
                prop_assert_eq!(lifetime.alive_at(now).holds(Some(&columns), row), !expired);
            }
        }
    }
}
