//! What a database may hold: for every collection the states that its calls have led through, so that after a crash
//! at any operation the states that are allowed are known.
//!
//! A state is the version of each id, or no collection. A call that failed may have taken effect or not, so from there
//! on there are two states, of which each later write makes another two.

use std::collections::BTreeMap;

/// Version of each id.
pub type Rows = BTreeMap<i64, u64>;

/// Rows of a collection, or none when it does not exist.
pub type State = Option<Rows>;

/// How the database came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process died: what was acknowledged is there, whatever the durability.
    Kill,
    /// The power failed: what was promised to be durable is there, and of the rest a prefix.
    PowerLoss,
}

/// What a call promises of itself and all before it once it has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Nothing: it is in memory.
    Nothing,
    /// It survives the death of the process.
    Kill,
    /// It survives a power loss.
    PowerLoss,
}

/// One call on a collection.
#[derive(Clone, Debug)]
struct Event {
    /// Operations of the disk before the call.
    started: u64,
    /// Operations when it returned; none when it failed.
    returned: Option<u64>,
    promise: Promise,
    /// States that it may have led to.
    states: Vec<State>,
}

/// The calls on one collection.
#[derive(Clone, Debug)]
pub struct Timeline {
    events: Vec<Event>,
}

impl Timeline {
    /// A collection that was in one of `states` before the first operation.
    pub fn starting(states: Vec<State>) -> Timeline {
        Timeline { events: vec![Event { started: 0, returned: Some(0), promise: Promise::PowerLoss, states }] }
    }

    /// States that the collection may be in now.
    pub fn states(&self) -> &[State] {
        &self.events.last().expect("a timeline has a start").states
    }

    /// Adds a call that turns each state into what `change` makes of it. Without `returned` it has failed.
    pub fn push(&mut self, started: u64, returned: Option<u64>, promise: Promise, change: impl Fn(&State) -> State) {
        let mut states: Vec<State> = self.states().iter().map(change).collect();
        if returned.is_none() {
            states.extend_from_slice(self.states());
        }
        states.sort();
        states.dedup();
        self.events.push(Event { started, returned, promise, states });
    }

    /// Notes that what was in memory alone is gone with the handle, after `operations` operations of the disk: its close has
    /// failed, and what opens next finds what a dead process would have left.
    pub fn forget_memory(&mut self, operations: u64) {
        let states = self.after(Crash::Kill, operations);
        self.events.push(Event { started: operations, returned: Some(operations), promise: Promise::Nothing, states });
    }

    /// States that a crash after `operation` operations may leave.
    pub fn after(&self, crash: Crash, operation: u64) -> Vec<State> {
        let returned = |event: &Event| event.returned.is_some_and(|at| at <= operation);
        let needed = if crash == Crash::Kill { Promise::Kill } else { Promise::PowerLoss };
        let certain = |event: &Event| returned(event) && event.promise >= needed;
        let first = self.events.iter().rposition(certain).unwrap_or(0);
        let reached = |event: &&Event| event.started < operation || returned(event);
        let mut states: Vec<State> =
            self.events[first..].iter().take_while(reached).flat_map(|event| event.states.iter().cloned()).collect();
        states.sort();
        states.dedup();
        states
    }
}
