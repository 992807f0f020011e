//! Panics of the Parquet decoder as messages.
//!
//! Layer 6, called by the Parquet source around each call of the decoder. The decoder asserts what every writer keeps
//! and damaged bytes do not: lengths that are negative, pages of a dictionary that never came. Such a file is wrong
//! input as any other, so its panic becomes an error and nothing is printed. Panics of other code, on this thread before and after and on
//! all other threads, go to the hook that was there.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside a call whose panic becomes an error.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// What `decode` returns, or what it panicked with. It must own what it changes: nobody may look at that after a panic.
pub(super) fn caught<T>(decode: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            // A thread that ends has no such variable any more.
            if !CAUGHT.try_with(Cell::get).unwrap_or(false) {
                others(panic);
            }
        }));
    });
    CAUGHT.set(true);
    let done = catch_unwind(AssertUnwindSafe(decode));
    CAUGHT.set(false);
    done.map_err(|panic| message(panic.as_ref()))
}

/// The first line of what a panic says: an assertion has its two sides on the next ones.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.and_then(|text| text.lines().next()).unwrap_or("the decoder panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_first_line_and_what_comes_after_it_works() {
        assert_eq!(
            caught(|| panic!("a dictionary of {}\nand more", 3)).map(|()| 1),
            Err("a dictionary of 3".to_owned())
        );
        assert_eq!(caught(|| panic!("plain")).map(|()| 1), Err("plain".to_owned()));
        assert_eq!(caught(|| 5), Ok(5));
        assert!(!CAUGHT.get());
    }
}
