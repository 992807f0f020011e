"""Ten bugs that storage engines had, each as a change of the sources, and the tests that are to see it."""

from __future__ import annotations

from dataclasses import dataclass

CORE = "crates/drift_core/src/"


@dataclass(frozen=True)
class Bug:
    """A change of the sources: for each place the file, the text there, and what takes its place."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


POWER_LOSS = ("--test", "power_loss")
UNITS = ("--lib",)

BUGS = (
    Bug(
        "skip a directory sync",
        (("storage/local.rs", 'self.sync_dir(path.parent().unwrap_or(Path::new("/")))\n    }', "Ok(())\n    }"),),
        POWER_LOSS,
    ),
    Bug(
        "delete the log before the manifest",
        (
            (
                "maintain/flush.rs",
                "    reach(Failpoint::FlushCommit)?;",
                "    remove_logs_below(collection, floor);\n    reach(Failpoint::FlushCommit)?;",
            ),
        ),
        POWER_LOSS,
    ),
    Bug(
        "sort file names as text",
        (("storage/names.rs", "    numbers.sort_unstable();\n", "    numbers.sort_by_key(u64::to_string);\n"),),
        UNITS,
    ),
    Bug(
        "ignore the seq of a tombstone",
        (
            (
                "state/install.rs",
                "                && found.seq < seq\n",
                "                && (found.seq < seq || seq > 0)\n",
            ),
        ),
        POWER_LOSS,
    ),
    Bug(
        "drop a checksum check",
        (("segment/pages.rs", "if sum != Some(checksum(self.id, offset, page)) {", "if sum.is_none() {"),),
        ("--test", "damage"),
    ),
    Bug(
        "publish before the commit",
        (
            (
                "maintain/flush.rs",
                "    maintenance.commit(manifest)?;\n    publish(collection, memtable, &extract, router, written)?;",
                "    publish(collection, memtable, &extract, router, written)?;\n    maintenance.commit(manifest)?;",
            ),
        ),
        POWER_LOSS,
    ),
    Bug(
        "copy dead rows",
        (("maintain/compact.rs", "death == 0 || death >= horizon", "death == 0 || death >= horizon || death > 0"),),
        (*POWER_LOSS, "--test", "engine", "--lib"),
    ),
    Bug(
        "forget writes newer than a job's snapshot",
        (
            (
                "maintain/flush.rs",
                "seq => written.segment.segment.mark_dead(row as u32, seq),",
                "_ => {}",
            ),
        ),
        POWER_LOSS,
    ),
    Bug(
        "retry a failed fsync",
        (
            ("storage/local.rs", "            let _ = self.poison.set(error.message().to_owned());\n", ""),
            ("wal/sync.rs", "|()| self.file.sync())", "|()| self.file.sync().or_else(|_| self.file.sync()))"),
        ),
        POWER_LOSS,
    ),
    Bug(
        "accept a zero frame",
        (
            ("wal/frame.rs", "            [4, 0] => Some(Kind::Seal),", "            [4 | 0, 0] => Some(Kind::Seal),"),
            ("wal/frame.rs", "&[length, rest]) == self.check,", "&[length, rest]) == self.check || rest == [0; 24],"),
        ),
        UNITS,
    ),
)
