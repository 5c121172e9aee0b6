//! The tests that docs/security.md names exist.

use crate::app::root;

#[test]
fn every_test_named_in_the_document_exists() {
    let document = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let mut named = 0;
    for name in document.split('`').filter(|text| text.contains("::") && !text.contains("module::")) {
        let (module, test) = name.split_once("::").unwrap();
        let source = std::fs::read_to_string(root().join(format!("tests/it/{module}.rs")));
        let source = source.unwrap_or_else(|_| panic!("no module {module} for {name}"));
        assert!(source.contains(&format!("fn {test}()")), "no test {name}");
        named += 1;
    }
    assert!(named > 30, "{named}");
}
