//! Time, randomness and threads as components, so that the whole engine can run deterministically under a seed.
//!
//! Layer 0. Nothing in drift_core reads the system clock, draws system randomness or starts a thread but through
//! [`Components`]; `clippy.toml` bans the direct calls.

#[cfg(feature = "sim")]
mod sim;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::Pool;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The random generator of the engine (xoshiro256++): seeded, portable, the same everywhere.
pub type Rng = Xoshiro256PlusPlus;

/// A generator for one purpose, derived from a seed.
pub fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// Tells time.
pub trait Clock: Send + Sync {
    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;
    /// Time since 1970-01-01 UTC.
    fn wall(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods)] // The one place that may ask the system.
    pub fn start() -> SystemClock {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods)] // The one place that may ask the system.
    fn wall(&self) -> Duration {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }
}

/// Starts background threads.
pub trait Spawner: Send + Sync {
    /// Runs `work` on a thread called `name`; fails when the system gives no thread.
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>;

    /// Threads of a database for bulk work; 0 for one per core.
    fn bulk_threads(&self) -> usize {
        0
    }
}

/// Beginning of the names of threads for bulk work, which runs while a caller waits for it; all other threads work in
/// the background.
pub const BULK_THREAD: &str = "drift-bulk-";

/// Operating-system threads.
#[derive(Debug)]
pub struct ThreadSpawner;

impl Spawner for ThreadSpawner {
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(work)
    }
}

/// Draws identities of databases, collections and segments.
pub trait Identities: Send + Sync {
    /// One that was never drawn before, here or elsewhere.
    fn draw(&self) -> u128;
}

/// Random UUIDs.
#[derive(Debug)]
pub struct RandomIdentities;

impl Identities for RandomIdentities {
    fn draw(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }
}

/// What the engine is built from besides its settings.
#[derive(Clone)]
pub struct Components {
    /// Tells time.
    pub clock: Arc<dyn Clock>,
    /// Starts threads.
    pub spawner: Arc<dyn Spawner>,
    /// Names what must never be mistaken for another.
    pub identities: Arc<dyn Identities>,
    /// Seed of everything random but identities: training and sampling.
    pub seed: u64,
}

impl Components {
    /// System clock, system threads and a seed drawn from the system.
    pub fn system() -> Components {
        Components {
            clock: Arc::new(SystemClock::start()),
            spawner: Arc::new(ThreadSpawner),
            identities: Arc::new(RandomIdentities),
            seed: rand::random(),
        }
    }

    /// Starts threads for bulk work: one per core.
    ///
    /// A thread that waits for its share of some work does other work of its pool meanwhile. What takes locks therefore runs
    /// on a pool that it has for itself: on a shared one it could begin to wait for a lock on top of the very work that
    /// the lock's holder waits for.
    ///
    /// # Errors
    /// `Exhausted` when threads cannot be started.
    pub fn start_pool(&self) -> Result<Pool> {
        let spawner = self.spawner.clone();
        rayon::ThreadPoolBuilder::new()
            .num_threads(self.spawner.bulk_threads())
            .spawn_handler(move |thread| {
                let name = format!("{BULK_THREAD}{}", thread.index());
                spawner.spawn(&name, Box::new(move || thread.run())).map(|_| ())
            })
            .build()
            .map(Pool::from)
            .map_err(|error| {
                Error::new(ErrorKind::Exhausted, format!("cannot start threads: {error}")).with_source(error)
            })
    }
}
