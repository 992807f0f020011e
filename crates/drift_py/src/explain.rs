//! An explained search as a dictionary, with a NumPy array for each figure that buckets have.

use crate::output;
use drift_core::types::{ExplainedBucket, Explanation};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// All of it; `drift._explain` says what the keys mean.
pub fn to_dict<'py>(py: Python<'py>, found: Explanation) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let shape = (found.hits.queries, found.hits.k);
    dict.set_item("ids", output::hit_ids(py, found.hits.ids, shape, true)?)?;
    dict.set_item("distances", output::matrix(py, found.hits.distances, shape, true)?)?;
    dict.set_item("recall", found.recall)?;
    dict.set_item("difference", found.difference.is_finite().then_some(found.difference))?;
    dict.set_item("budget", (found.budget < u64::MAX).then_some(found.budget))?;
    dict.set_item("stop", found.stop.name())?;
    dict.set_item("threshold", found.threshold.is_finite().then_some(found.threshold))?;
    dict.set_item("confidence", found.confidence)?;
    dict.set_item("geometric", found.geometric)?;
    dict.set_item("spread", found.spread)?;
    let buckets = &found.buckets;
    dict.set_item("bucket_ids", column(py, buckets, |bucket| bucket.id))?;
    dict.set_item("scores", column(py, buckets, |bucket| bucket.score))?;
    dict.set_item("centroid_distances", column(py, buckets, |bucket| bucket.distance))?;
    dict.set_item("live_rows", column(py, buckets, |bucket| bucket.live))?;
    dict.set_item("codes", column(py, buckets, |bucket| bucket.codes))?;
    dict.set_item("likelihoods", column(py, buckets, |bucket| bucket.likelihood))?;
    dict.set_item("scanned", column(py, buckets, |bucket| bucket.scanned))?;
    dict.set_item("buckets_total", found.buckets_total)?;
    dict.set_item("results_in_memory", found.hits_memory)?;
    let work = found.work;
    let counts = [
        ("buckets", work.buckets),
        ("codes", work.codes),
        ("first_codes", work.first_codes),
        ("rows_refined", work.rows_refined),
        ("rows_exact", work.rows_exact),
        ("rows_memory", work.rows_memory),
    ];
    dict.set_item("work", output::counts(py, &counts)?)?;
    let seconds = PyDict::new(py);
    let times = found.times;
    for (stage, took) in
        [("prepare", times.prepare), ("scan", times.scan), ("exact", times.exact), ("memory", times.memory)]
    {
        seconds.set_item(stage, took.as_secs_f64())?;
    }
    dict.set_item("seconds", seconds)?;
    Ok(dict)
}

fn column<'py, T: numpy::Element>(
    py: Python<'py>,
    buckets: &[ExplainedBucket],
    value: impl Fn(&ExplainedBucket) -> T,
) -> Bound<'py, PyArray1<T>> {
    buckets.iter().map(value).collect::<Vec<T>>().into_pyarray(py)
}
