//! Live queries that wait to be searched again in the background.
//!
//! Layer 5. Each query that comes waits with the same probability (reservoir sampling, Vitter's algorithm R): those that can be traced apart
//! from the others, which are few, and would not be measured if they had to wait among those.

use super::PhysicalRuns;
use crate::manifest::Asked;
use crate::sync::Mutex;
use crate::types::{Predicate, Seq};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Queries that can be traced and wait, at most; as soon as so many queries came, groups may be taken.
const TRACEABLE_MAX: usize = 384;

/// Others that wait, at most: twice as many as are measured at a time, as some may have seen rows that are gone by then. Their filters
/// may be large.
const OTHERS_MAX: usize = 32;

/// Of so many traceable queries that came, one is searched again where there are enough: the others are kept, to be traced when much has
/// changed.
const STRIDE: usize = 3;

/// Traceable queries that are searched again at a time, at least.
const GROUP_MIN: usize = TRACEABLE_MAX / STRIDE;

/// A live query and what it was answered.
#[derive(Default)]
pub struct Shadow {
    /// The query as given.
    pub query: Vec<f32>,
    /// What it asked for.
    pub asked: Asked,
    /// The filter, if it had one.
    pub filter: Option<Arc<Predicate>>,
    /// When it was asked, if rows may have expired by then.
    pub now: Option<i64>,
    /// Recall aimed at.
    pub target: f32,
    /// Distances of the rows returned, ascending.
    pub distances: Vec<f32>,
    /// Neighbours asked for.
    pub k: usize,
    /// Newest write that the search saw.
    pub seq: Seq,
    /// The rows that it searched, as [`Index::is_of`](super::Index::is_of) tells them.
    pub index: Weak<PhysicalRuns>,
}

/// Live queries that were taken, to be searched again.
#[derive(Default)]
pub struct Taken {
    /// Those that can be traced, in an order drawn at random.
    pub traceable: Vec<Shadow>,
    /// How many of them, the first, to trace.
    pub group: usize,
    /// The others.
    pub others: Vec<Shadow>,
}

/// Live queries that wait to be searched again.
pub struct Waiting {
    traceable: Reservoir,
    others: Reservoir,
    /// Whether a group is to be handed over as soon as there is one.
    wanted: AtomicBool,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting {
            traceable: Reservoir::of(TRACEABLE_MAX),
            others: Reservoir::of(OTHERS_MAX),
            wanted: AtomicBool::new(false),
        }
    }
}

impl Waiting {
    /// Asks for a group of live queries; true when there is one.
    pub fn want(&self) -> bool {
        self.wanted.store(true, Ordering::Relaxed);
        self.is_due()
    }

    /// Lets a live query wait if it is drawn; true if a group is wanted and there is one now, which is said once.
    #[inline]
    pub fn offer(&self, is_traceable: bool, write: impl FnOnce(&mut Shadow)) -> bool {
        let reservoir = if is_traceable { &self.traceable } else { &self.others };
        if let Some(place) = reservoir.place() {
            reservoir.put(place, write);
        }
        self.is_due()
    }

    #[inline]
    fn is_due(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        wanted && self.seen() >= TRACEABLE_MAX as u64 && self.wanted.swap(false, Ordering::Relaxed)
    }

    fn seen(&self) -> u64 {
        self.traceable.seen.load(Ordering::Relaxed) + self.others.seen.load(Ordering::Relaxed)
    }

    /// Takes all that wait, `group_max` of them to trace at most.
    pub fn take(&self, group_max: usize) -> Taken {
        let ((seen, traceable), (_, others)) = (self.traceable.take(), self.others.take());
        let group = (seen as usize / STRIDE).min(group_max).max(GROUP_MIN).min(traceable.len());
        Taken { traceable, group, others }
    }

    /// Takes back the memory of live queries that were taken, so that searches do without any of their own.
    pub fn give_back(&self, taken: Taken) {
        self.traceable.give_back(taken.traceable);
        self.others.give_back(taken.others);
    }
}

/// A sample of the live queries that came since it was last taken, each of them with the same probability.
struct Reservoir {
    places: usize,
    /// Queries that came since the waiting ones were taken.
    seen: AtomicU64,
    /// Samples taken, so that each is drawn by other numbers: the same queries may come in the same order again.
    taken: AtomicU64,
    held: Mutex<Held>,
}

/// The sample, and the memory of others that are no longer needed.
#[derive(Default)]
struct Held {
    shadows: Vec<Shadow>,
    spent: Vec<Shadow>,
}

impl Reservoir {
    fn of(places: usize) -> Reservoir {
        Reservoir { places, seen: AtomicU64::new(0), taken: AtomicU64::new(0), held: Mutex::default() }
    }

    /// The place that the query that comes now is to have, if it is to have any.
    #[inline]
    fn place(&self) -> Option<usize> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        if number < self.places as u64 {
            return Some(number as usize);
        }
        let drawn = scrambled(number ^ scrambled(self.taken.load(Ordering::Relaxed)));
        let place = ((u128::from(drawn) * u128::from(number + 1)) >> 64) as usize;
        (place < self.places).then_some(place)
    }

    /// Writes a query to its place, in what memory the one before it had there.
    fn put(&self, place: usize, write: impl FnOnce(&mut Shadow)) {
        let mut held = self.held.lock();
        let Held { shadows, spent } = &mut *held;
        if shadows.len() <= place {
            shadows.push(spent.pop().unwrap_or_default());
        }
        let place = place.min(shadows.len() - 1);
        write(&mut shadows[place]);
    }

    /// How many queries came, and the sample of them in an order drawn at random: places are in the order of arrival at first, and may
    /// repeat what an application asks in turn.
    fn take(&self) -> (u64, Vec<Shadow>) {
        let mut held = self.held.lock();
        let seen = self.seen.swap(0, Ordering::Relaxed);
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if held.shadows.is_empty() {
            return (seen, Vec::new());
        }
        let mut shadows = std::mem::replace(&mut held.shadows, Vec::with_capacity(self.places));
        drop(held);
        let count = shadows.len();
        for place in 0..count {
            let drawn = scrambled(scrambled(taken) ^ place as u64) % (count - place) as u64;
            shadows.swap(place, place + drawn as usize);
        }
        (seen, shadows)
    }

    fn give_back(&self, mut shadows: Vec<Shadow>) {
        for shadow in &mut shadows {
            (shadow.filter, shadow.index) = (None, Weak::new());
        }
        let mut held = self.held.lock();
        held.spent.append(&mut shadows);
        held.spent.truncate(self.places);
    }
}

/// A number that looks random (the finalizer of splitmix64).
fn scrambled(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers queries that are numbered in the order of their arrival; the numbers at which a group was announced.
    fn offer(waiting: &Waiting, is_traceable: bool, count: usize) -> Vec<usize> {
        let offered = |number: &usize| waiting.offer(is_traceable, |shadow| shadow.query = vec![*number as f32]);
        (0..count).filter(offered).collect()
    }

    fn numbers(shadows: &[Shadow]) -> Vec<f32> {
        shadows.iter().map(|shadow| shadow.query[0]).collect()
    }

    #[test]
    fn waiting_queries_are_drawn_from_all_that_came() {
        let waiting = Waiting::default();
        for (is_traceable, places) in [(true, TRACEABLE_MAX), (false, OTHERS_MAX)] {
            let sample = || {
                assert!(!waiting.want());
                assert_eq!(offer(&waiting, is_traceable, 6_400), [TRACEABLE_MAX - 1], "a group is announced once");
                let Taken { traceable, others, .. } = waiting.take(TRACEABLE_MAX);
                assert!(traceable.is_empty() || others.is_empty());
                numbers(if is_traceable { &traceable } else { &others })
            };
            let [first, second] = [sample(), sample()];
            assert_eq!(first.len(), places);
            let mean = first.iter().sum::<f32>() / places as f32;
            // Four standard errors of the mean of numbers uniform on 0..6,400.
            assert!((mean - 3_200.0).abs() < 4.0 * 6_400.0 / (12.0 * places as f32).sqrt(), "{mean}");
            let repeated = first.iter().filter(|number| second.contains(number)).count();
            assert!(repeated < places / 4, "others at the next time");
        }
        assert!(waiting.take(TRACEABLE_MAX).traceable.is_empty() && !waiting.want());
    }

    #[test]
    fn others_wait_whatever_else_comes_before_them() {
        let waiting = Waiting::default();
        offer(&waiting, true, 9_999);
        offer(&waiting, false, 10);
        let taken = waiting.take(TRACEABLE_MAX);
        assert_eq!((taken.traceable.len(), taken.others.len()), (TRACEABLE_MAX, 10));
    }

    #[test]
    fn a_third_of_those_that_came_is_searched_again() {
        let waiting = Waiting::default();
        let group = |came: usize, group_max: usize| {
            offer(&waiting, true, came);
            waiting.take(group_max).group
        };
        let groups = [0, 1, 128, 129, 384, 576, 1_152, 9_999].map(|came| group(came, TRACEABLE_MAX));
        assert_eq!(groups, [0, 1, 128, 128, 128, 192, 384, 384]);
        assert_eq!(group(9_999, 200), 200);
    }

    #[test]
    fn what_is_asked_in_turn_is_drawn_alike() {
        let waiting = Waiting::default();
        let mut counts = [0usize; STRIDE];
        for _ in 0..6 {
            offer(&waiting, true, TRACEABLE_MAX);
            let taken = waiting.take(TRACEABLE_MAX);
            numbers(&taken.traceable[..taken.group]).iter().for_each(|number| counts[*number as usize % STRIDE] += 1);
        }
        // A third of 768, with a deviation of 13.
        assert!(counts.iter().all(|count| count.abs_diff(256) < 60), "{counts:?}");
    }

    #[test]
    fn memory_is_used_again() {
        let waiting = Waiting::default();
        offer(&waiting, true, 1);
        let taken = waiting.take(TRACEABLE_MAX);
        let memory = taken.traceable[0].query.as_ptr();
        waiting.give_back(taken);
        waiting.give_back(Taken::default());
        waiting.offer(true, |shadow| assert_eq!(shadow.query.as_ptr(), memory));
    }
}
