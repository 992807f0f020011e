//! drift._core: what Python calls, and nothing more.
//!
//! Converts arguments and results, releases the GIL around every call that works, and turns engine errors into
//! exceptions. The public classes, their documentation and the conversion of lists and of other dtypes are in
//! `python/drift`; everything that decides anything is in drift_core.

mod arrow;
mod backup;
mod collection;
mod database;
mod error;
mod explain;
mod filter;
mod health;
mod input;
mod load;
mod output;
mod payload;
mod signals;
mod work;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DIM_MAX", drift_core::types::DIM_MAX)?;
    module.add("K_MAX", drift_core::types::K_MAX)?;
    module.add("PAGE_ROWS_MAX", drift_core::search::PAGE_ROWS_MAX)?;
    module.add_class::<database::Database>()?;
    module.add_class::<collection::Collection>()?;
    module.add_function(wrap_pyfunction!(arrow::arrow_fields, module)?)?;
    module.add_function(wrap_pyfunction!(arrow::stream, module)?)?;
    module.add_function(wrap_pyfunction!(backup::backups, module)?)?;
    module.add_function(wrap_pyfunction!(backup::restore, module)?)?;
    module.add_function(wrap_pyfunction!(backup::verify_backups, module)?)?;
    Ok(())
}
