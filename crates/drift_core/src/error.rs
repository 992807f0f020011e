//! One error type for the whole engine: what went wrong and what the caller can do about it.
//!
//! Layer 0. Few kinds, each of which tells the caller what to do; the message names the row, column, file or offset;
//! the source keeps the cause. Modules with richer failures keep their own enum and convert at their border.

use std::fmt;

/// Result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is wrong: fix it and call again. Nothing was changed.
    Invalid,
    /// No such collection or id.
    NotFound,
    /// The collection or id exists already.
    AlreadyExists,
    /// Another process has the database open, or this very thread is in a call that the new one would have to wait for.
    Locked,
    /// A newer writer has taken over: this handle can write no more.
    Fenced,
    /// The database was opened for reading only.
    ReadOnly,
    /// The handle was closed.
    Closed,
    /// The process was forked after the handle was opened: open the database anew in the child.
    Forked,
    /// A limit was reached (disk, memory, queue): free some and try again.
    Exhausted,
    /// The call waited as long as it was allowed to.
    Timeout,
    /// The call was stopped by its caller (Ctrl-C, a progress callback). Nothing was changed.
    Interrupted,
    /// The file format is of another version: use the drift that wrote it.
    UnsupportedFormat,
    /// Stored bytes are damaged: restore from a backup, or run `drift verify`.
    Corrupt,
    /// The storage failed; the handle may be poisoned: reads go on, writes refuse.
    Io,
    /// A bug in drift.
    Internal,
}

/// ENFILE and EMFILE, for which the standard library has no kind: the system or the process has too many open files.
const NO_DESCRIPTORS: [i32; 2] = [23, 24];

/// An error of the engine.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose message says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// The same error, its message led by where it happened: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, without the cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// An I/O error, with the kind that fits it; `what` names the operation and the file.
    pub fn io(what: impl fmt::Display, source: std::io::Error) -> Error {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::AlreadyExists,
            Io::StorageFull | Io::QuotaExceeded | Io::OutOfMemory | Io::FileTooLarge => ErrorKind::Exhausted,
            Io::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            _ if source.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code)) => ErrorKind::Exhausted,
            _ => ErrorKind::Io,
        };
        let advice = match source.kind() {
            Io::PermissionDenied => ": choose a place that this user may write to, or give it the right to this one",
            _ => "",
        };
        Error::new(kind, format!("{what}: {source}{advice}")).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_may_not_be_written_to_says_what_to_do() {
        let error = Error::io("creating folder /a", std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().starts_with("creating folder /a: permission denied: choose a place"), "{error}");
    }
}
