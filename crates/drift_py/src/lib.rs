//! drift._core: what Python calls, and nothing more.
//!
//! Converts arguments and results, releases the GIL around every call that works, and turns engine errors into
//! exceptions. The public classes, their documentation and the conversion of lists and of other dtypes are in
//! `python/drift`; everything that decides anything is in drift_core.

mod arrow;
mod collection;
mod database;
mod error;
mod explain;
mod health;
mod input;
mod load;
mod output;
mod signals;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DIM_MAX", drift_core::types::DIM_MAX)?;
    module.add("K_MAX", drift_core::types::K_MAX)?;
    module.add_class::<database::Database>()?;
    module.add_class::<collection::Collection>()?;
    module.add_function(wrap_pyfunction!(arrow::stream, module)?)?;
    Ok(())
}
