//! Files in git that are generated from the code: a test fails when one of them differs, and `make generate` writes
//! them anew.

use std::path::Path;

/// Compares the file at `path`, from the project's folder, with `generated`.
///
/// # Panics
/// Where they differ, with the first line that does. With `UPDATE_GOLDEN=1` the file is written instead.
#[track_caller]
pub fn check(path: &str, generated: &str) {
    let file = crate::app::root().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return write(&file, generated);
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    if committed != generated {
        let lines = committed.lines().zip(generated.lines());
        let line = lines.take_while(|(old, new)| old == new).count();
        panic!(
            "{path} is not what the code says, from line {} on: `make generate` writes it anew\n in git: {}\ncode says: {}",
            line + 1,
            committed.lines().nth(line).unwrap_or("[end of file]"),
            generated.lines().nth(line).unwrap_or("[end of file]"),
        );
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a generated file can be written");
}
