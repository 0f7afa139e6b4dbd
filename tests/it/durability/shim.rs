//! A library that is loaded before libc and makes system calls fail: see `shim.c`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Compiles the library, once a process.
pub fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (made, path) = (folder.join(format!("shim-{}.so", std::process::id())), folder.join("shim.so"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/durability/shim.c");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source).arg("-ldl").status();
        assert!(built.expect("cc").success(), "{source} does not compile");
        std::fs::rename(made, &path).unwrap();
        path
    })
}

/// Environment for a node whose synchronising does nothing.
pub fn nosync() -> Vec<(String, String)> {
    vec![("LD_PRELOAD".into(), library().display().to_string()), ("FAULT".into(), "nosync".into())]
}

/// Environment for a process whose calls below `dir` are counted, written to `log`, and fail as `fault` says.
pub fn faults(dir: &Path, log: &Path, fault: Option<&str>) -> Vec<(String, String)> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let mut env = vec![
        pair("LD_PRELOAD", library().display().to_string()),
        pair("FAULT_DIR", dir.display().to_string()),
        pair("FAULT_LOG", log.display().to_string()),
    ];
    env.extend(fault.map(|f| pair("FAULT", f.to_owned())));
    env
}
