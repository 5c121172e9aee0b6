//! Sizes of a function: the file, and the zip that deploys it.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

/// Bytes of the file and of its zip.
///
/// A zip of one file is its deflate stream and some 130 bytes; gzip makes the same stream. `sam` uses level 6.
pub(crate) fn of(program: &Path) -> Outcome<(u64, u64)> {
    let packed = Command::new("gzip").args(["-6", "-n", "-c"]).arg(program).output()?;
    if !packed.status.success() {
        return Err(format!("gzip: {}", String::from_utf8_lossy(&packed.stderr)).into());
    }
    Ok((std::fs::metadata(program)?.len(), u64::try_from(packed.stdout.len())?))
}
