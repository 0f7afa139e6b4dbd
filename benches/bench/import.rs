//! The import of a whole region into a running node, as an operator does it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Measure, Outcome, end, timed};

/// What the task allows for a region's house file.
const ALLOWED_SECONDS: f64 = 20.0;
const PROGRAM: &str = env!("CARGO_BIN_EXE_domovoi");

/// The full house file of Moscow where it lies beside the repository, else the sample the repository carries.
fn file() -> (PathBuf, &'static str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for data in ["../shared/data", "../../shared/data"] {
        let full = root.join(data).join("77_moscow_20170614.csv.gz");
        if full.exists() {
            return (full, "the full file");
        }
    }
    (root.join("tests/data/sample/77_moscow_20170614.csv.gz"), "ONLY THE SAMPLE, the full file is not here")
}

fn domovoi(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--data").arg(dir).env("DOMOVOI_PASSPHRASE", "bench").stderr(Stdio::null());
    command
}

pub fn moscow(dir: &Path) -> Outcome<Measure> {
    let (file, which) = file();
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("127.0.0.1:{port}");
    let init = ["init", "--region", "77", "--authority", "ogrn:1027700132195", "--name", "Bench", "--listen", &listen];
    let data = dir.join("node");
    if !domovoi(&data).args(init).stdout(Stdio::null()).status()?.success() {
        return Err("domovoi init failed".into());
    }
    let mut node = domovoi(&data).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut first = String::new();
    // Held until the end: the node must be able to go on writing to it.
    let mut said = node.stdout.take().map(BufReader::new);
    let imported: Outcome<_> = match said.as_mut().map(|out| out.read_line(&mut first)) {
        Some(Ok(n)) if n > 0 => {
            let report = dir.join("report.csv");
            let mut import = domovoi(&data);
            import.args(["--json", "import", "buildings"]).arg(&file).arg("--report").arg(report);
            let (took, output) = timed(|| import.output());
            output.map(|o| (took, o)).map_err(Into::into)
        }
        _ => Err("the node did not start".into()),
    };
    end(&mut node);
    let (took, output) = imported?;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("the import said {}: {e}", String::from_utf8_lossy(&output.stdout)))?;
    let rows = report["imported"].as_u64().unwrap_or(0);
    if rows == 0 {
        return Err(format!("nothing was imported: {report}").into());
    }
    let against = format!("what the task allows; {which}, {rows} of {} rows imported", report["rows"]);
    Ok(Measure::new("import_moscow", took, "s (lower is better)", ALLOWED_SECONDS, against))
}
