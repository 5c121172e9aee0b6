//! Finds the functions in their folders and writes the list of them to src/functions.rs.
//!
//! The list is next to the code, not in `OUT_DIR`: clones share a build folder, so its paths must be relative.

#![expect(clippy::expect_used, clippy::panic, reason = "a build script fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

const FUNCTIONS: &str = "../../functions";
const LIST: &str = "src/functions.rs";

fn main() {
    println!("cargo::rerun-if-changed={FUNCTIONS}");
    println!("cargo::rerun-if-changed={LIST}");
    let folders = Path::new(FUNCTIONS).read_dir().expect("functions/");
    let mut names: Vec<_> = folders
        .map(|entry| entry.expect("a folder").file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();

    let (mut modules, mut functions) = (String::new(), String::new());
    for name in names {
        let main = Path::new(FUNCTIONS).join(&name).join("src/main.rs");
        let main = std::fs::read_to_string(main)
            .unwrap_or_else(|error| panic!("functions/{name}/src/main.rs: {error}"));
        let endpoint = main
            .lines()
            .find_map(|line| line.strip_prefix("api::main!(")?.strip_suffix(");"))
            .unwrap_or_else(|| panic!("functions/{name}/src/main.rs must be: api::main!(crate::Endpoint);"));
        let (module, _) = endpoint.split_once("::").expect("the path of a type");
        writeln!(modules, "#[path = \"../{FUNCTIONS}/{name}/src/lib.rs\"]\npub mod {module};")
            .expect("a string");
        writeln!(functions, "        Function::of::<{endpoint}, _>({name:?}, {endpoint}::handle),")
            .expect("a string");
    }
    let list = format!("{modules}\nfn all() -> Vec<Function> {{\n    vec![\n{functions}    ]\n}}\n");
    // An unchanged file keeps its modification time, so nothing is rebuilt.
    if std::fs::read_to_string(LIST).is_ok_and(|written| written == list) {
        return;
    }
    std::fs::write(LIST, list).expect("the list can be written");
}
