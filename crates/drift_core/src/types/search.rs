//! What a search is asked and what it answers, and what a lookup by id answers.
//!
//! Layer 0: plain data shared by the search path, the database handle and the binding. Distances are ascending and
//! smaller is nearer under every metric (l2: squared; cosine: `1 - cos`; dot: `-<a, b>`).

use super::{Columns, Confidence, Decay, IdRef, IdType, Ids, K_MAX, Predicate};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Asked now and then by long work, on the caller's thread; `true` means: stop and return
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted). It is cheap to ask and may be asked from any
/// thread, but only the caller's thread can notice a signal, so that thread must be among those that ask.
pub type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync);

/// An [`Interrupt`] that never stops the work.
pub fn never_interrupt() -> bool {
    false
}

/// How a search is run.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// Results per query, `0..=K_MAX`.
    pub k: usize,
    /// Recall to aim at, in (0, 1]; the database's default when `None`.
    pub recall: Option<f32>,
    /// Compare the query with every row: the answer is exact, the cost linear.
    pub exact: bool,
    /// Buckets to scan, 1 or more; chosen from `recall` when `None`.
    pub nprobe: Option<usize>,
    /// Threads for a batch of queries, 1 or more; all cores when `None`.
    pub threads: Option<usize>,
    /// Which rows are asked for; all when `None`.
    pub filter: Option<Arc<Predicate>>,
    /// Fields of the hits' payload.
    pub include: Include,
    /// An expert's confidence to stop at, instead of `recall`.
    pub confidence: Option<Confidence>,
    /// Ranks rows by distance and age; by distance alone when `None`.
    pub decay: Option<Decay>,
}

impl Default for SearchOptions {
    fn default() -> SearchOptions {
        SearchOptions {
            k: 10,
            recall: None,
            exact: false,
            nprobe: None,
            threads: None,
            filter: None,
            include: Include::Nothing,
            confidence: None,
            decay: None,
        }
    }
}

impl SearchOptions {
    /// Checks every bound; the error names the option, its value and its range.
    pub fn validate(&self) -> Result<()> {
        if self.k > K_MAX {
            return Err(Error::invalid(format!("k is {}: it must be between 0 and {K_MAX}", self.k)));
        }
        if let Some(recall) = self.recall
            && !(recall > 0.0 && recall <= 1.0)
        {
            // From 2 on it can only be meant in percent.
            let percent = (2.0..=100.0).contains(&recall);
            let hint = if percent { format!("; {recall} % is {}", recall / 100.0) } else { String::new() };
            return Err(Error::invalid(format!("recall is {recall}: it must be above 0 and at most 1{hint}")));
        }
        if self.nprobe == Some(0) {
            return Err(Error::invalid("nprobe is 0: it must be 1 or more"));
        }
        if self.threads == Some(0) {
            return Err(Error::invalid("threads is 0: it must be 1 or more"));
        }
        self.confidence.map_or(Ok(()), |confidence| confidence.validate())?;
        self.decay.as_ref().map_or(Ok(()), Decay::validate)?;
        self.filter.as_ref().map_or(Ok(()), |filter| filter.validate())
    }
}

/// Ids of a search's results, `queries * k`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HitIds {
    /// int64 ids, padded with -1.
    Int(Vec<i64>),
    /// String ids, padded with `None`.
    Str(Vec<Option<Box<str>>>),
}

/// Results of a search: row `q * k + i` is the i-th nearest row of query `q`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hits {
    /// Results per query, found or padded: the `k` that was asked.
    pub k: usize,
    /// Number of queries.
    pub queries: usize,
    /// `queries * k` ids.
    pub ids: HitIds,
    /// `queries * k` distances, ascending within a query, padded with infinity.
    pub distances: Vec<f32>,
    /// Payload of the `queries * k` hits, the fields that were asked for; padding lacks them.
    pub payload: Columns,
}

impl Hits {
    /// No hits yet, with room for those of `queries`.
    pub fn with_capacity(id_type: IdType, k: usize, queries: usize) -> Hits {
        let ids = match id_type {
            IdType::Int => HitIds::Int(Vec::with_capacity(k * queries)),
            IdType::Str => HitIds::Str(Vec::with_capacity(k * queries)),
        };
        Hits { k, queries: 0, ids, distances: Vec::with_capacity(k * queries), payload: Columns::default() }
    }

    /// Appends the hits of one query, at most `k`, and pads them.
    pub fn push<'a>(&mut self, hits: impl Iterator<Item = (IdRef<'a>, f32)>) {
        self.queries += 1;
        let end = self.queries * self.k;
        for (id, distance) in hits {
            match (&mut self.ids, id) {
                (HitIds::Int(ids), IdRef::Int(id)) => ids.push(id),
                (HitIds::Str(ids), IdRef::Str(id)) => ids.push(Some(id.into())),
                _ => unreachable!("a collection has one id type"),
            }
            self.distances.push(distance);
        }
        self.distances.resize(end, f32::INFINITY);
        match &mut self.ids {
            HitIds::Int(ids) => ids.resize(end, -1),
            HitIds::Str(ids) => ids.resize(end, None),
        }
    }

    /// Appends the hits of further queries of the same collection and `k`.
    pub fn append(&mut self, mut more: Hits) {
        self.queries += more.queries;
        self.distances.append(&mut more.distances);
        self.payload.append(&more.payload);
        match (&mut self.ids, &mut more.ids) {
            (HitIds::Int(ids), HitIds::Int(more)) => ids.append(more),
            (HitIds::Str(ids), HitIds::Str(more)) => ids.append(more),
            _ => unreachable!("a collection has one id type"),
        }
    }
}

/// What to do about an id that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Fail and name the id and its row.
    Error,
    /// Leave it out.
    Skip,
}

impl Missing {
    /// Reads the name used in the Python API.
    pub fn parse(name: &str) -> Result<Missing> {
        match name {
            "error" => Ok(Missing::Error),
            "skip" => Ok(Missing::Skip),
            _ => Err(Error::invalid(format!("unknown missing {name:?}: use \"error\" or \"skip\""))),
        }
    }
}

/// Rows found by their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The ids, in the order asked.
    pub ids: Ids,
    /// `n * dim` values, row-major, as they were written (f16 widened).
    pub vectors: Vec<f32>,
    /// Their payload, the fields that were asked for.
    pub payload: Columns,
}

impl Rows {
    /// No rows.
    pub fn empty(id_type: IdType) -> Rows {
        Rows { ids: Ids::empty(id_type), vectors: Vec::new(), payload: Columns::default() }
    }
}

/// Which fields of the payload an answer has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// None.
    #[default]
    Nothing,
    /// All that there are.
    All,
    /// These.
    Fields(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_options_outside_their_bounds_are_refused_by_name() {
        let good = SearchOptions::default();
        assert!(good.validate().is_ok());
        let bad = [
            ("k ", SearchOptions { k: K_MAX + 1, ..good.clone() }),
            ("recall", SearchOptions { recall: Some(0.0), ..good.clone() }),
            ("recall", SearchOptions { recall: Some(f32::NAN), ..good.clone() }),
            ("nprobe", SearchOptions { nprobe: Some(0), ..good.clone() }),
            ("threads", SearchOptions { threads: Some(0), ..good.clone() }),
        ];
        for (name, options) in bad {
            assert!(options.validate().unwrap_err().message().starts_with(name));
        }
    }
}
