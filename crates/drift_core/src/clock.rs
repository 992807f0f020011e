//! Time, randomness and threads as components, so that the whole engine can run deterministically under a seed.
//!
//! Layer 0. Nothing in drift_core reads the system clock, draws system randomness or starts a thread but through
//! [`Components`]; `clippy.toml` bans the direct calls.

#[cfg(feature = "sim")]
mod sim;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{self, Pool};
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
    /// Time since an arbitrary start; never goes back. Where [`Spawner::runs_background`], it passes: the background waits by it.
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

    /// Whether collections have threads in the background. A simulation does their work itself.
    fn runs_background(&self) -> bool {
        true
    }

    /// Threads of a database for bulk work; 0 for one per core.
    fn bulk_threads(&self) -> usize {
        0
    }
}

/// Beginning of the names of threads for bulk work, which runs while a caller waits for it; all other threads work in
/// the background.
pub const BULK_THREAD: &str = "drift-bulk-";

/// Name of the threads that do jobs: nobody waits for them, and searches on as many threads as there are cores go first.
pub const JOB_THREAD: &str = "drift-job";

/// How much lower than others such a thread stands (`nice`): beside a busy search it gets a tenth of a core, so that a job
/// under way still comes to its end when all cores are taken for good.
#[cfg(target_os = "linux")]
const JOB_NICE: i32 = 10;

/// Operating-system threads.
#[derive(Debug)]
pub struct ThreadSpawner;

impl Spawner for ThreadSpawner {
    fn spawn(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>> {
        let is_job = name == JOB_THREAD;
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if is_job {
                yield_to_others();
            }
            work();
        })
    }
}

/// Lowers the priority of the calling thread, from that of its process, where threads have one of their own.
fn yield_to_others() {
    // On Linux it is that of the calling thread. A system that refuses leaves it as it is: searches then share evenly.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(JOB_NICE) {
        tracing::debug!(%error, "cannot lower the priority of a job's thread");
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
        let spawn = |thread: rayon::ThreadBuilder| {
            let name = format!("{BULK_THREAD}{}", thread.index());
            spawner.spawn(&name, Box::new(move || thread.run())).map(|_| ())
        };
        sync::start_pool(self.spawner.bulk_threads(), spawn).map_err(|error| {
            Error::new(ErrorKind::Exhausted, format!("cannot start threads: {error}")).with_source(error)
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Priority of a thread with a name, started by one that stands `lower` than this test's.
    fn nice_of(name: &'static str, lower: i32) -> i32 {
        let (told, heard) = mpsc::channel();
        let start = move || {
            rustix::process::nice(lower).expect("lower");
            let tell =
                move || told.send(rustix::process::getpriority_process(None).expect("a priority")).expect("heard");
            ThreadSpawner.spawn(name, Box::new(tell)).expect("a thread").join().expect("an end");
        };
        ThreadSpawner.spawn("starter", Box::new(start)).expect("a thread").join().expect("an end");
        heard.recv().expect("a priority")
    }

    #[test]
    fn jobs_stand_behind_the_threads_of_their_process_whatever_its_priority() {
        for lower in [0, 3] {
            let own = nice_of("drift-docs", lower);
            assert_eq!(nice_of(JOB_THREAD, lower), (own + JOB_NICE).min(19));
        }
    }
}
