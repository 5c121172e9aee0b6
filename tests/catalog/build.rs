//! Generates the list of functions from the folders in functions/.

#![expect(clippy::expect_used, clippy::panic, reason = "a build script fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../functions")
        .canonicalize()
        .expect("functions/ exists");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut folders: Vec<_> = root
        .read_dir()
        .expect("functions/ is a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();

    let (mut modules, mut functions) = (String::new(), String::new());
    for folder in folders {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("the name is UTF-8").to_owned();
        let main = std::fs::read_to_string(folder.join("src/main.rs")).expect("src/main.rs is readable");
        let endpoint = main
            .lines()
            .find_map(|line| line.strip_prefix("api::main!(")?.strip_suffix(");"))
            .unwrap_or_else(|| panic!("functions/{name}/src/main.rs must be: api::main!(crate::Endpoint);"));
        let (module, _) = endpoint.split_once("::").expect("the endpoint is a path");
        let library = folder.join("src/lib.rs");
        writeln!(modules, "#[path = {library:?}]\npub mod {module};").expect("a string can be written to");
        writeln!(functions, "    Function::of::<{endpoint}, _>({name:?}, {endpoint}::handle),")
            .expect("a string can be written to");
    }
    let list = format!("{modules}\nfn all() -> Vec<Function> {{\n    vec![\n{functions}    ]\n}}\n");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("functions.rs"), list).expect("OUT_DIR is writable");
}
