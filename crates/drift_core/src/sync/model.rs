//! The engine's locks and shared numbers under the scheduler of shuttle (awslabs/shuttle: randomised scheduling after
//! Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010).
//!
//! Layer 0. Tasks of a run take turns on one thread of the system, so a lock is taken by trying, and letting others run
//! until it is free: a deadlock or a wake-up that was lost shows as a run without an end, which is a failure. Orders of
//! memory weaker than sequential consistency are not modelled. Work for a pool runs on the task that asked for it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};
use std::time::Duration;

thread_local! {
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Steps after which a run counts as one without an end: fifty times what the longest takes.
const STEPS_MAX: usize = 3_000_000;

/// Stack of a task: a search or a job needs some hundred KiB in builds without optimisation.
const STACK_BYTES: usize = 8 << 20;

fn exploring() -> bool {
    EXPLORING.get()
}

/// Runs `body` under `runs` orders of its threads, which it starts by `shuttle::thread::spawn`; they follow from `seed`.
/// Panics when one of them does, and says by which order.
pub fn explore(runs: usize, seed: u64, body: impl Fn() + Send + Sync + 'static) {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            EXPLORING.set(false);
        }
    }
    let _restore = Restore;
    EXPLORING.set(true);
    let mut config = shuttle::Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = shuttle::MaxSteps::FailAfter(STEPS_MAX);
    let scheduler = shuttle::scheduler::RandomScheduler::new_from_seed(seed, runs);
    shuttle::Runner::new(scheduler, config).run(body);
}

/// Runs `body` on a thread that does the work of all pools itself, for simulations: on a busy machine, handing each piece of
/// work to another thread and back takes ten times as long as the work. Pools that are started meanwhile have no threads.
///
/// # Panics
/// When the thread cannot be started, and when `body` panics.
pub fn alone<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        ALONE.set(true);
        body()
    })
}

/// Whether this thread does the work of all pools itself.
pub(super) fn is_alone() -> bool {
    ALONE.get()
}

/// Which thread this is; in a run of the model, which task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadId {
    /// Of the system.
    System(std::thread::ThreadId),
    /// Of the model.
    Task(shuttle::thread::ThreadId),
}

/// This thread.
pub fn thread_id() -> ThreadId {
    if exploring() {
        ThreadId::Task(shuttle::thread::current().id())
    } else {
        ThreadId::System(std::thread::current().id())
    }
}

/// A place at which another task may go on.
pub fn step() {
    if exploring() {
        // The operation itself means nothing: the scheduler is asked before it.
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
    }
}

/// Tries until it succeeds, letting other tasks run in between.
fn retry<T>(attempt: impl Fn() -> Option<T>) -> T {
    step();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        shuttle::thread::yield_now();
    }
}

/// See [`parking_lot::Mutex`].
#[derive(Debug, Default)]
pub struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(parking_lot::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        if exploring() { retry(|| self.0.try_lock()) } else { self.0.lock() }
    }

    /// The lock if it is free.
    pub fn try_lock(&self) -> Option<parking_lot::MutexGuard<'_, T>> {
        step();
        self.0.try_lock()
    }

    /// See [`parking_lot::Mutex::try_lock_for`]; the time that a model has is none.
    pub fn try_lock_for(&self, _: std::time::Duration) -> Option<parking_lot::MutexGuard<'_, T>> {
        self.try_lock()
    }
}

/// See [`parking_lot::RwLock`].
#[derive(Debug, Default)]
pub struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(parking_lot::RwLock::new(value))
    }

    /// Waits for the lock, to read.
    pub fn read(&self) -> parking_lot::RwLockReadGuard<'_, T> {
        if exploring() { retry(|| self.0.try_read()) } else { self.0.read() }
    }

    /// Waits for the lock, to write.
    pub fn write(&self) -> parking_lot::RwLockWriteGuard<'_, T> {
        if exploring() { retry(|| self.0.try_write()) } else { self.0.write() }
    }
}

/// Whether a wait ended by itself.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time had passed.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

/// See [`parking_lot::Condvar`]. In a run of the model no time passes: only a notification ends a wait.
#[derive(Debug, Default)]
pub struct Condvar {
    inner: parking_lot::Condvar,
    notified: atomic::AtomicU64,
}

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar { inner: parking_lot::Condvar::new(), notified: atomic::AtomicU64::new(0) }
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        step();
        self.notified.fetch_add(1, Ordering::SeqCst);
        self.inner.notify_all();
    }

    /// Gives the lock back until it is notified.
    pub fn wait<T>(&self, guard: &mut parking_lot::MutexGuard<'_, T>) {
        if !exploring() {
            return self.inner.wait(guard);
        }
        let mutex = parking_lot::MutexGuard::mutex(guard);
        let seen = self.notified.load(Ordering::SeqCst);
        // The guard takes the lock back at once when this returns, before any other task goes on.
        let is_free = || (self.notified.load(Ordering::SeqCst) != seen && mutex.try_lock().is_some()).then_some(());
        parking_lot::MutexGuard::unlocked(guard, || retry(is_free));
    }

    /// As [`Condvar::wait`], for some time at most.
    pub fn wait_for<T>(&self, guard: &mut parking_lot::MutexGuard<'_, T>, timeout: Duration) -> WaitTimeoutResult {
        if !exploring() {
            return WaitTimeoutResult(self.inner.wait_for(guard, timeout).timed_out());
        }
        self.wait(guard);
        WaitTimeoutResult(false)
    }

    /// Waits while `condition` holds, for some time at most.
    pub fn wait_while_for<T>(
        &self,
        guard: &mut parking_lot::MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        if !exploring() {
            return WaitTimeoutResult(self.inner.wait_while_for(guard, condition, timeout).timed_out());
        }
        while condition(guard) {
            self.wait(guard);
        }
        WaitTimeoutResult(false)
    }
}

/// See [`arc_swap::ArcSwap`].
#[derive(Debug)]
pub struct ArcSwap<T>(arc_swap::ArcSwap<T>);

impl<T> ArcSwap<T> {
    /// One that holds `value`.
    pub fn from_pointee(value: T) -> ArcSwap<T> {
        ArcSwap(arc_swap::ArcSwap::from_pointee(value))
    }

    /// One that holds what `value` points to.
    pub fn new(value: Arc<T>) -> ArcSwap<T> {
        ArcSwap(arc_swap::ArcSwap::new(value))
    }

    /// What it holds.
    pub fn load_full(&self) -> Arc<T> {
        step();
        self.0.load_full()
    }

    /// What it holds, without counting.
    pub fn load(&self) -> arc_swap::Guard<Arc<T>> {
        step();
        self.0.load()
    }

    /// Replaces what it holds.
    pub fn store(&self, value: Arc<T>) {
        step();
        self.0.store(value);
    }

    /// Replaces what it holds, and returns it.
    pub fn swap(&self, value: Arc<T>) -> Arc<T> {
        step();
        self.0.swap(value)
    }
}

/// See [`atomic::AtomicU64`].
#[derive(Debug, Default)]
pub struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    /// One with this value.
    pub const fn new(value: u64) -> AtomicU64 {
        AtomicU64(atomic::AtomicU64::new(value))
    }

    /// Its value.
    pub fn load(&self, order: Ordering) -> u64 {
        step();
        self.0.load(order)
    }

    /// Sets its value.
    pub fn store(&self, value: u64, order: Ordering) {
        step();
        self.0.store(value, order);
    }

    /// Adds, and returns the value before.
    pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        step();
        self.0.fetch_add(value, order)
    }

    /// Takes the larger value, and returns the one before.
    pub fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        step();
        self.0.fetch_max(value, order)
    }

    /// Sets its value if it is `current`.
    ///
    /// # Errors
    /// Another value, when it has that.
    pub fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        step();
        self.0.compare_exchange(current, new, success, failure)
    }
}

/// See [`rayon::ThreadPool`]; none for the pools of a thread that does all work itself.
#[derive(Debug)]
pub struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// The pool of a thread that does all work itself.
    pub(super) fn without_threads() -> Pool {
        Pool(None)
    }

    /// Runs `work` on the pool; in a run of the model here, where the scheduler sees it.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) if !exploring() => pool.install(work),
            _ => work(),
        }
    }

    /// See [`rayon::ThreadPool::spawn`]. A model has no background.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        match &self.0 {
            Some(pool) if !exploring() => pool.spawn(work),
            _ => work(),
        }
    }

    /// See [`rayon::ThreadPool::in_place_scope`]. Searches that take it have several threads, and a model has one.
    pub fn in_place_scope<'scope, R>(&self, work: impl FnOnce(&rayon::Scope<'scope>) -> R) -> R {
        match &self.0 {
            Some(pool) if !exploring() => pool.in_place_scope(work),
            _ => rayon::in_place_scope(work),
        }
    }

    /// Threads of the pool.
    pub fn current_num_threads(&self) -> usize {
        match &self.0 {
            Some(pool) if !exploring() => pool.current_num_threads(),
            _ => 1,
        }
    }
}

impl From<rayon::ThreadPool> for Pool {
    fn from(pool: rayon::ThreadPool) -> Pool {
        Pool(Some(pool))
    }
}
