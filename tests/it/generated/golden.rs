//! Compares the generated files in git with the code, or writes them.

use std::path::Path;

/// Asserts that the file at `path`, relative to the project's folder, is `generated`. With `UPDATE_GOLDEN=1` it writes
/// the file instead.
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
            "{path} is out of date from line {}: run `make generate`\n  in git: {}\nexpected: {}",
            line + 1,
            committed.lines().nth(line).unwrap_or("[end of file]"),
            generated.lines().nth(line).unwrap_or("[end of file]"),
        );
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("the generated file is writable");
}
