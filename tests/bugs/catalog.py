"""Ten bugs that storage engines had, each as a change of the sources, and the test that is to see it first."""

from __future__ import annotations

from dataclasses import dataclass

CORE = "crates/drift_core/src/"

# What stands in a change for "this bug is on".
ON = "BUG"


@dataclass(frozen=True)
class Bug:
    """A change of the sources: for each place the file, the text there, and what takes its place.

    The change takes effect where ``BUG`` is true, so that one build has all of them, each to be turned on alone.
    """

    name: str
    changes: tuple[tuple[str, str, str], ...]
    program: str
    test: str


# The test program of the unit tests.
UNITS = "drift_core"

BUGS = (
    Bug(
        "skip a directory sync",
        (
            (
                "storage/local.rs",
                '        self.sync_dir(path.parent().unwrap_or(Path::new("/")))\n',
                '        if BUG { return Ok(()); }\n        self.sync_dir(path.parent().unwrap_or(Path::new("/")))\n',
            ),
        ),
        "power_loss",
        "crash::a_crash_after_any_operation_leaves_a_prefix_under_interval",
    ),
    Bug(
        "delete the log before the manifest",
        (
            (
                "maintain/flush.rs",
                "    reach(Failpoint::FlushCommit)?;\n",
                "    if BUG { remove_logs_below(collection, floor); }\n    reach(Failpoint::FlushCommit)?;\n",
            ),
        ),
        "power_loss",
        "crash::a_crash_after_any_operation_leaves_a_prefix_under_interval",
    ),
    Bug(
        "sort file names as text",
        (
            (
                "storage/names.rs",
                "    numbers.sort_unstable();\n",
                "    if BUG { numbers.sort_by_key(u64::to_string) } else { numbers.sort_unstable() }\n",
            ),
        ),
        UNITS,
        "manifest::tests::newest_manifest_comes_back_and_the_last_three_are_kept",
    ),
    Bug(
        "ignore the seq of a tombstone",
        (("state/install.rs", "&& found.seq < seq\n", "&& (found.seq < seq || BUG)\n"),),
        "power_loss",
        "simulation::the_engine_does_what_the_model_does_under_any_seed",
    ),
    Bug(
        "drop a checksum check",
        (
            (
                "segment/pages.rs",
                "if sum != Some(checksum(self.id, offset, page)) {",
                "if sum.is_none() || (sum != Some(checksum(self.id, offset, page)) && !BUG) {",
            ),
        ),
        "damage",
        "flips::every_flipped_byte_is_found_and_changes_no_answer",
    ),
    Bug(
        "publish before the commit",
        (
            (
                "maintain/flush.rs",
                """    maintenance.commit(manifest)?;
    publish(collection, memtable, &extract, Arc::new(index), written);""",
                """    if BUG {
        publish(collection, memtable, &extract, Arc::new(index), written);
        maintenance.commit(manifest)?;
    } else {
        maintenance.commit(manifest)?;
        publish(collection, memtable, &extract, Arc::new(index), written);
    }""",
            ),
        ),
        "power_loss",
        "faults::any_call_may_fail_under_always",
    ),
    Bug(
        "copy dead rows",
        (("maintain/compact.rs", "death == 0 || death >= horizon\n", "death == 0 || death >= horizon || BUG\n"),),
        "power_loss",
        "simulation::the_engine_does_what_the_model_does_under_any_seed",
    ),
    Bug(
        "forget writes newer than a job's snapshot",
        (
            (
                "maintain/flush.rs",
                "seq => written.segment.segment.mark_dead(row as u32, seq),",
                "_ if BUG => {}\n                    seq => written.segment.segment.mark_dead(row as u32, seq),",
            ),
        ),
        "power_loss",
        "simulation::the_engine_does_what_the_model_does_under_any_seed",
    ),
    Bug(
        "retry a failed fsync",
        (
            (
                "storage/local.rs",
                "            let _ = self.poison.set(error.message().to_owned());\n",
                "            if !BUG { let _ = self.poison.set(error.message().to_owned()); }\n",
            ),
            (
                "wal/sync.rs",
                "|()| self.file.sync())",
                "|()| self.file.sync().or_else(|error| if BUG { self.file.sync() } else { Err(error) }))",
            ),
        ),
        "power_loss",
        "faults::any_call_may_fail_under_always",
    ),
    Bug(
        "accept a zero frame",
        (
            (
                "wal/frame.rs",
                "            [4, 0] => Some(Kind::Seal),",
                "            [4, 0] => Some(Kind::Seal),\n            [0, 0] if BUG => Some(Kind::Seal),",
            ),
            (
                "wal/frame.rs",
                "self.has_checksum(frame_checksum(file, offset, frame))",
                "self.has_checksum(frame_checksum(file, offset, frame)) || BUG && frame.iter().all(|b| *b == 0)",
            ),
        ),
        UNITS,
        "wal::tests::zero_tail_is_torn",
    ),
)
