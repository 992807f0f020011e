//! What every backend promises, run against each of them, and what a failing disk does to the local one.

use super::*;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

fn local(path: &Path) -> LocalBackend {
    LocalBackend::open(path, Arc::new(OsFs), true, false).unwrap()
}

/// Runs `check` on an empty store of each kind.
fn for_each_backend(check: impl Fn(&dyn Backend)) {
    let folder = tempfile::tempdir().unwrap();
    check(&local(&folder.path().join("a/b")));
    check(&MemoryBackend::open("", true, false).unwrap());
    check(&*local(folder.path()).scoped("scope"));
    check(&*MemoryBackend::open("", true, false).unwrap().scoped("scope"));
}

/// Every file below `path` with its bytes.
fn snapshot(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.insert(format!("{}/", path.display()), Vec::new());
                folders.push(path);
            } else {
                files.insert(path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn objects_come_back_and_are_never_overwritten() {
    for_each_backend(|backend| {
        assert_eq!(backend.read("x/y").unwrap_err().kind(), ErrorKind::NotFound);
        backend.put_if_absent("x/y", b"first").unwrap();
        assert_eq!(backend.put_if_absent("x/y", b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(backend.read("x/y").unwrap(), b"first");
        let mut file = backend.create("x/y").unwrap();
        file.write(b"third").unwrap();
        assert_eq!(file.finish().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(backend.list("").unwrap(), ["x/y"]);
    });
}

#[test]
fn streamed_object_appears_when_it_is_finished() {
    for_each_backend(|backend| {
        let mut file = backend.create("s/1").unwrap();
        let big = vec![7u8; 600_000];
        file.write(b"head").unwrap();
        file.write(&big).unwrap();
        file.write(b"tail").unwrap();
        assert!(backend.list("").unwrap().is_empty() && backend.read("s/1").is_err());
        file.finish().unwrap();
        assert_eq!(backend.read("s/1").unwrap(), [b"head", &big[..], b"tail"].concat());
        drop(backend.create("s/2").unwrap());
        assert_eq!(backend.list("s").unwrap(), ["s/1"]);
    });
}

#[test]
fn reads_beyond_the_end_are_corrupt_and_name_the_offset() {
    for_each_backend(|backend| {
        backend.put_if_absent("x", b"12345").unwrap();
        let file = backend.open("x").unwrap();
        let mut out = [0; 3];
        file.read_at(2, &mut out).unwrap();
        assert_eq!((&out, file.len()), (b"345", 5));
        for offset in [3, 5, 6, u64::MAX / 2] {
            let error = file.read_at(offset, &mut out).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.message().contains(&format!("offset {offset}")), "{error}");
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn holes_of_a_file_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let length = 700 << 20;
    local(folder.path()).put_if_absent("x", b"12345").unwrap();
    let grown = std::fs::OpenOptions::new().write(true).open(folder.path().join("x")).unwrap();
    grown.set_len(length).unwrap();
    let file = Backend::open(&local(folder.path()), "x").unwrap();
    assert_eq!((file.next_data(2).unwrap(), file.next_data(1 << 20).unwrap()), (2, length));
    assert_eq!(file.next_data(length + 1).unwrap(), length);
    let kind = local(folder.path()).read_sealed("x").unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Corrupt);
}

#[test]
fn append_files_grow_and_are_cut() {
    for_each_backend(|backend| {
        assert_eq!(backend.append("w/1", false).err().unwrap().kind(), ErrorKind::NotFound);
        let mut file = backend.append("w/1", true).unwrap();
        assert_eq!(backend.append("w/1", true).err().unwrap().kind(), ErrorKind::AlreadyExists);
        file.append(b"one").unwrap();
        file.append(b"two").unwrap();
        file.sync().unwrap();
        file.syncer().sync().unwrap();
        file.truncate(4).unwrap();
        file.append(b"three").unwrap();
        assert_eq!(file.len(), 9);
        assert_eq!(backend.read("w/1").unwrap(), b"onetthree");
        let mut again = backend.append("w/1", false).unwrap();
        again.append(b"!").unwrap();
        assert_eq!(again.len(), 10);
    });
}

#[test]
fn list_is_sorted_and_within_its_folder() {
    for_each_backend(|backend| {
        for name in ["b/2", "b/10", "bc/1", "a", "b/deep/x"] {
            backend.put_if_absent(name, b"").unwrap();
        }
        assert_eq!(backend.list("b").unwrap(), ["b/10", "b/2", "b/deep/x"]);
        assert_eq!(backend.list("").unwrap(), ["a", "b/10", "b/2", "b/deep/x", "bc/1"]);
        assert!(backend.list("missing").unwrap().is_empty());
        assert_eq!(backend.scoped("b").list("").unwrap(), ["10", "2", "deep/x"]);
        backend.delete("a").unwrap();
        assert_eq!(backend.delete("a").unwrap_err().kind(), ErrorKind::NotFound);
        backend.delete_tree("b").unwrap();
        backend.delete_tree("b").unwrap();
        assert_eq!(backend.list("").unwrap(), ["bc/1"]);
        backend.put_if_absent("b/2", b"again").unwrap();
    });
}

#[test]
fn lock_has_one_holder() {
    for_each_backend(|backend| {
        let guard = backend.lock("LOCK").unwrap();
        assert_eq!(backend.lock("LOCK").err().unwrap().kind(), ErrorKind::Locked);
        drop(guard);
        backend.lock("LOCK").unwrap();
    });
}

#[test]
fn names_cannot_leave_the_store() {
    for_each_backend(|backend| {
        for name in ["", "/x", "x/", "a//b", "../x", "a/../b", ".", "a\\b", "x.1.tmp", "\0", "ä", "a b"] {
            assert_eq!(backend.put_if_absent(name, b"").unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
            assert_eq!(backend.read(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
        }
    });
}

#[test]
fn memory_stores_are_found_by_name() {
    assert_eq!(MemoryBackend::open("found", false, false).err().unwrap().kind(), ErrorKind::NotFound);
    MemoryBackend::open("found", true, false).unwrap().put_if_absent("x", b"1").unwrap();
    let again = MemoryBackend::open("found", false, true).unwrap();
    assert_eq!(again.read("x").unwrap(), b"1");
    assert_eq!(again.put_if_absent("y", b"1").unwrap_err().kind(), ErrorKind::ReadOnly);
    MemoryBackend::forget("found");
    assert!(MemoryBackend::open("found", false, false).is_err());
    assert!(MemoryBackend::open("", true, false).unwrap().list("").unwrap().is_empty());
}

#[test]
fn read_only_store_changes_nothing_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    assert!(LocalBackend::open(&missing, Arc::new(OsFs), true, true).is_err());
    local(folder.path()).put_if_absent("x", b"1").unwrap();
    std::fs::write(folder.path().join("y.0.tmp"), b"leftover").unwrap();
    let before = snapshot(folder.path());
    let backend = LocalBackend::open(folder.path(), Arc::new(OsFs), true, true).unwrap();
    let kinds = [
        backend.put_if_absent("z", b"").unwrap_err().kind(),
        backend.create("z").err().unwrap().kind(),
        backend.append("x", false).err().unwrap().kind(),
        backend.delete("x").unwrap_err().kind(),
        backend.delete_tree("x").unwrap_err().kind(),
        backend.lock("LOCK").err().unwrap().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::ReadOnly; 6]);
    assert_eq!((backend.list("").unwrap(), backend.read("x").unwrap()), (vec!["x".to_owned()], b"1".to_vec()));
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn leftovers_are_not_listed_and_go_with_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let backend = local(folder.path());
    let in_collection = |object: String| format!("{}/{object}", names::collection_dir(7));
    let objects = [names::catalog(1), in_collection(names::wal(1)), names::RESTORING.to_owned(), names::backup(1)];
    let copied = format!("{}/{}", names::backup_files(1), in_collection(names::manifest(1)));
    let leftovers = objects.iter().chain([&copied]).map(|object| folder.path().join(format!("{object}.0.tmp")));
    let leftovers: Vec<_> = leftovers.collect();
    for leftover in &leftovers {
        std::fs::create_dir_all(leftover.parent().unwrap()).unwrap();
        std::fs::write(leftover, b"half").unwrap();
    }
    std::fs::write(folder.path().join("notes.tmp"), b"not drift's").unwrap();
    assert_eq!(backend.list("").unwrap(), ["notes.tmp"]);
    backend.put_if_absent(&objects[0], b"whole").unwrap();
    assert!(leftovers.iter().all(|leftover| leftover.exists()));
    let _guard = backend.lock("LOCK").unwrap();
    assert!(!leftovers.iter().any(|leftover| leftover.exists()));
    assert_eq!(backend.list("").unwrap(), ["LOCK", &objects[0], "notes.tmp"]);
}

#[test]
fn regression_lock_passes_over_what_others_do_in_its_folder() {
    let cases = [("list foreign", io::ErrorKind::PermissionDenied), ("remove", io::ErrorKind::NotFound)];
    for (failing, kind) in cases {
        let folder = tempfile::tempdir().unwrap();
        let fs = TracedFs::default();
        let backend = LocalBackend::open(folder.path(), Arc::new(fs.share()), true, false).unwrap();
        backend.put_if_absent(&names::catalog(1), b"1").unwrap();
        std::fs::write(folder.path().join(format!("{}.0.tmp", names::catalog(2))), b"half").unwrap();
        for foreign in ["foreign/data.1.tmp", "catalog/foreign/data.1.tmp"] {
            let path = folder.path().join(foreign);
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"mine").unwrap();
        }
        *fs.fail.lock() = Some((failing, kind));
        let _guard = backend.lock("LOCK").unwrap();
        assert_eq!(backend.list("").unwrap(), ["LOCK", &names::catalog(1)]);
        *fs.fail.lock() = Some(("list catalog", io::ErrorKind::PermissionDenied));
        assert_eq!(backend.list("").unwrap_err().kind(), ErrorKind::Io, "its own folder is not passed over");
    }
}

/// The system's disk, with a trace of what was asked of it and a call that fails.
#[derive(Default)]
struct TracedFs {
    trace: Arc<Mutex<Vec<String>>>,
    fail: Arc<Mutex<Option<(&'static str, io::ErrorKind)>>>,
}

struct TracedFile {
    file: Box<dyn FsFile>,
    name: String,
    fs: TracedFs,
}

impl TracedFs {
    fn share(&self) -> TracedFs {
        TracedFs { trace: self.trace.clone(), fail: self.fail.clone() }
    }

    fn note(&self, what: &str, path: &Path) -> io::Result<()> {
        self.trace.lock().push(format!("{what} {}", path.file_name().unwrap_or_default().display()));
        match *self.fail.lock() {
            Some((failing, kind)) if failing == what => Err(io::Error::new(kind, "injected")),
            _ => Ok(()),
        }
    }

    fn file(&self, path: &Path, file: io::Result<Box<dyn FsFile>>) -> io::Result<Box<dyn FsFile>> {
        let name = path.file_name().unwrap_or_default().display().to_string();
        Ok(Box::new(TracedFile { file: file?, name, fs: self.share() }))
    }
}

impl Fs for TracedFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.note("create", path)?;
        self.file(path, OsFs.create_new(path))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.file(path, OsFs.open_read(path))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.file(path, OsFs.open_append(path))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("link", to)?;
        OsFs.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note("remove", path)?;
        OsFs.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.note("sync_dir", path)?;
        OsFs.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.note(&format!("list {}", path.file_name().unwrap_or_default().display()), path)?;
        OsFs.list(path)
    }
    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.note("create_dir", path)?;
        OsFs.create_dir(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        OsFs.remove_dir_all(path)
    }
}

impl FsFile for TracedFile {
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.fs.note("write", Path::new(&self.name))?;
        self.file.write_all(bytes)
    }
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, out)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn sync(&self) -> io::Result<()> {
        self.fs.note("sync", Path::new(&self.name))?;
        self.file.sync()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

#[test]
fn object_is_synced_before_it_is_linked_and_its_folder_after() {
    let folder = tempfile::tempdir().unwrap();
    let fs = TracedFs::default();
    let backend = LocalBackend::open(&folder.path().join("p/db"), Arc::new(fs.share()), true, false).unwrap();
    let last = |path: &std::path::Path| format!("sync_dir {}", path.file_name().unwrap().display());
    let (above, top) = (last(folder.path().parent().unwrap()), last(folder.path()));
    let opened = std::mem::take(&mut *fs.trace.lock());
    assert_eq!(opened, [above, "create_dir p".to_owned(), top, "create_dir db".into(), "sync_dir p".into()]);
    backend.put_if_absent("m/1", b"x").unwrap();
    let put = ["create 1.0.tmp", "write 1.0.tmp", "sync 1.0.tmp", "link 1", "remove 1.0.tmp", "sync_dir m"];
    let trace = std::mem::take(&mut *fs.trace.lock());
    assert_eq!(trace[..8], [&["create_dir m", "sync_dir db"][..], &put].concat());
}

#[test]
fn failed_sync_refuses_all_later_writes() {
    for failing in ["sync", "sync_dir"] {
        let folder = tempfile::tempdir().unwrap();
        let fs = TracedFs::default();
        let backend = LocalBackend::open(folder.path(), Arc::new(fs.share()), true, false).unwrap();
        backend.put_if_absent("x/1", b"1").unwrap();
        let mut log = backend.append("x/log", true).unwrap();
        let mut open = backend.scoped("x").create("3").unwrap();
        *fs.fail.lock() = Some((failing, io::ErrorKind::Other));
        assert_eq!(backend.put_if_absent("x/2", b"2").unwrap_err().kind(), ErrorKind::Io);
        *fs.fail.lock() = None;
        assert!(backend.poisoned().is_some());
        assert!(backend.put_if_absent("x/4", b"4").is_err());
        assert!(log.append(b"4").is_err() && log.sync().is_err() && log.truncate(0).is_err());
        assert!(open.write(b"4").is_err() && open.finish().is_err());
        assert!(backend.delete("x/1").is_err());
        assert_eq!(backend.read("x/1").unwrap(), b"1");
    }
}

#[test]
fn failed_write_leaves_no_trace_and_no_poison() {
    for failing in ["create", "write", "link"] {
        let folder = tempfile::tempdir().unwrap();
        let fs = TracedFs::default();
        let backend = LocalBackend::open(folder.path(), Arc::new(fs.share()), true, false).unwrap();
        *fs.fail.lock() = Some((failing, io::ErrorKind::Other));
        assert!(backend.put_if_absent("x", b"1").is_err());
        *fs.fail.lock() = None;
        assert!(snapshot(folder.path()).is_empty(), "{failing}");
        backend.put_if_absent("x", b"1").unwrap();
    }
}
