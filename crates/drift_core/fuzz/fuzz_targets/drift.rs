//! All targets in one program, so that one build serves all: `DRIFT_TARGET` says which one runs. At its start it writes
//! the inputs that each corpus begins with, files as drift writes them, into the folder `DRIFT_SEEDS`, if that is set.
#![no_main]

use drift_fuzz::{TARGETS, Target, seeds};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::OnceLock;

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn write_seeds(folder: &Path) -> std::io::Result<()> {
    for (at, (target, bytes)) in seeds::all().into_iter().enumerate() {
        std::fs::create_dir_all(folder.join(target))?;
        std::fs::write(folder.join(target).join(format!("seed-{at:02}")), bytes)?;
    }
    Ok(())
}

fn choose() -> Target {
    if let Some(folder) = std::env::var_os("DRIFT_SEEDS") {
        write_seeds(Path::new(&folder)).expect("the folder of DRIFT_SEEDS can be written");
    }
    let name = std::env::var("DRIFT_TARGET").unwrap_or_default();
    let found = TARGETS.into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("DRIFT_TARGET={name:?} is none of {:?}", TARGETS.map(|target| target.0)))
}

fuzz_target!(init: { CHOSEN.get_or_init(choose); }, |bytes: &[u8]| (CHOSEN.get_or_init(choose).1)(bytes));
