//! Which buckets the rows of a segment are in.
//!
//! Layer 5. A row stays where its segment has it for as long as the segment lives; that its bucket splits, merges or loses
//! it to a neighbour changes this table only. So moving a row costs eight bytes, and no structural change can lose one.
//! As written, a row's bucket is the label of its run in the segment; later changes are in the moves that the manifest
//! names.

use crate::segment::Segment;
use crate::types::BucketId;

/// No second bucket.
pub const NO_BUCKET: u32 = u32::MAX;

/// First and second bucket of each row of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assignment {
    first: Vec<u32>,
    /// Empty at precision sq8, which has no entries to put there.
    second: Vec<u32>,
    has_moves: bool,
}

impl Assignment {
    /// The buckets as written: the labels of the runs, and `second` as read.
    pub fn as_written(segment: &Segment, second: Vec<u32>) -> Assignment {
        let mut first = Vec::with_capacity(segment.rows() as usize);
        for (bucket, rows) in segment.runs() {
            first.resize(rows.end as usize, bucket.0);
        }
        Assignment { first, second, has_moves: false }
    }

    /// The bucket that a row is in.
    #[inline]
    pub fn first(&self, row: u32) -> BucketId {
        BucketId(self.first[row as usize])
    }

    /// The bucket that has a second entry of a row.
    #[inline]
    pub fn second(&self, row: u32) -> Option<BucketId> {
        self.second.get(row as usize).filter(|bucket| **bucket != NO_BUCKET).map(|&bucket| BucketId(bucket))
    }

    /// First buckets of all rows.
    pub fn firsts(&self) -> &[u32] {
        &self.first
    }

    /// Second buckets of all rows, [`NO_BUCKET`] for none; empty at precision sq8.
    pub fn seconds(&self) -> &[u32] {
        &self.second
    }

    /// Whether a row has an entry in a bucket.
    #[inline]
    pub fn is_in(&self, row: u32, bucket: BucketId) -> bool {
        self.first(row) == bucket || self.second(row) == Some(bucket)
    }

    /// Whether any row is elsewhere than as written, or was once.
    pub fn has_moves(&self) -> bool {
        self.has_moves
    }

    /// Puts a row elsewhere.
    pub fn set(&mut self, row: u32, first: BucketId, second: Option<BucketId>) {
        self.has_moves = true;
        self.first[row as usize] = first.0;
        if let Some(place) = self.second.get_mut(row as usize) {
            *place = second.map_or(NO_BUCKET, |bucket| bucket.0);
        }
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        4 * (self.first.capacity() + self.second.capacity())
    }
}
