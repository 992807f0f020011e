//! Components that make a run of the engine depend on its calls and a seed alone.
//!
//! Layer 0, behind the feature `sim`. Time stands still; identities follow from the seed; bulk work runs on one thread,
//! and nothing runs in the background, so the caller's calls are all that touches the disk, in their order.

use super::{Clock, Components, Identities, Rng, Spawner, rng};
use parking_lot::Mutex;
use rand::RngExt;
use std::io::Result;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

impl Components {
    /// Components of a simulation. Databases that are opened with clones of them draw different identities.
    pub fn simulated(seed: u64) -> Components {
        Components {
            clock: Arc::new(StoppedClock),
            spawner: Arc::new(BulkSpawner),
            identities: Arc::new(SeededIdentities(Mutex::new(rng(seed)))),
            seed,
        }
    }
}

struct StoppedClock;

impl Clock for StoppedClock {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Duration {
        Duration::ZERO
    }
}

/// Runs threads for bulk work, one, and no other.
struct BulkSpawner;

impl Spawner for BulkSpawner {
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work)
    }

    fn runs_background(&self) -> bool {
        false
    }

    fn bulk_threads(&self) -> usize {
        1
    }
}

struct SeededIdentities(Mutex<Rng>);

impl Identities for SeededIdentities {
    fn draw(&self) -> u128 {
        self.0.lock().random()
    }
}
