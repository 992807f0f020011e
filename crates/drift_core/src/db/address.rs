//! Addresses: which store a path or a URI names.
//!
//! Layer 7. What cannot be a database is refused before anything is created.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Backend, LocalBackend, MemoryBackend, OsFs};
use std::path::Path;
use std::sync::Arc;

/// The store that an address names. A missing one is created, unless it is for reading only.
pub(super) fn backend(uri: &str, read_only: bool) -> Result<Arc<dyn Backend>> {
    if let Some(name) = uri.strip_prefix("memory://") {
        return Ok(Arc::new(MemoryBackend::open(name, !read_only, read_only)?));
    }
    let path = match uri.split_once("://") {
        Some(("file", path)) => path,
        Some((scheme, _)) => {
            let message =
                format!("{uri:?}: addresses with {scheme}:// are not supported; use a path, file:// or memory://");
            return Err(Error::invalid(message));
        }
        None => uri,
    };
    if path.is_empty() {
        return Err(Error::invalid("the path of the database is empty"));
    }
    let path = Path::new(path);
    if let Some(file) = path.ancestors().find(|path| path.is_file()) {
        let hint = match file.extension().and_then(|extension| extension.to_str()) {
            Some("parquet" | "pq") => "; to load the file, name a folder and pass the file to load()",
            _ => "",
        };
        let message =
            format!("{} is a file, and a database is a folder: give the path of a folder{hint}", file.display());
        return Err(Error::invalid(message));
    }
    let opened = LocalBackend::open(path, Arc::new(OsFs), !read_only, read_only);
    Ok(Arc::new(opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound if read_only => {
            Error::not_found(format!("there is no folder {}: open it for writing to create it", path.display()))
        }
        _ => error,
    })?))
}
