//! The README's table of endpoints.

use std::fmt::Write as _;

use api::Access;
use catalog::Function;

const BEGIN: &str = "<!-- endpoints -->\n";
const END: &str = "<!-- /endpoints -->";

#[test]
fn the_readme_lists_the_endpoints() {
    let readme = std::fs::read_to_string(crate::app::root().join("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the line <!-- endpoints -->");
    let (_, after) = rest.split_once(END).expect("README.md has the line <!-- /endpoints -->");
    super::golden::check("README.md", &format!("{before}{BEGIN}\n{}\n{END}{after}", table()));
}

fn table() -> String {
    let mut table = "| endpoint | needs | function |\n|---|---|---|\n".to_owned();
    for Function { name, route, .. } in catalog::endpoints() {
        let needs = match route.access {
            Access::Session | Access::OwnSession => "a session",
            Access::Signed(_) => "the sender's signature",
            Access::Public | Access::Scheduled | Access::Authorizer => "nothing",
        };
        let (method, path, summary) = (route.method.name(), route.path, route.summary);
        writeln!(table, "| `{method} {path}` | {needs} | [{name}](functions/{name}/src/lib.rs): {summary} |")
            .unwrap();
    }
    table
}
