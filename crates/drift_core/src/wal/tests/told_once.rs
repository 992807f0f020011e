//! A disk that tells of lost pages once: whoever was to rely on them must be told, whatever the order of the threads.

use super::*;
use crate::sync::model::explore;
use shuttle::thread;

/// Orders that are tried; the cutting off must come between the start of the other fsync and its end.
const ORDERS: usize = 2_000;

#[test]
fn regression_rows_whose_loss_the_cutting_off_was_told_of_are_not_acknowledged() {
    explore(ORDERS, 1, || {
        let (_backend, faults, mut writer) = faulty();
        let sync = writer.syncer();
        let end = writer.append(&borrow(&upsert(IdType::Int, 1, 1))).unwrap();
        *faults.lost.lock() = true;
        let acknowledging = thread::spawn(move || sync.sync_to(end));
        *faults.append_fails.lock() = true;
        assert!(writer.append(&borrow(&upsert(IdType::Int, 2, 1))).is_err());
        assert!(acknowledging.join().unwrap().is_err(), "the rows are lost");
        assert!(writer.poisoned().is_some());
    });
}
