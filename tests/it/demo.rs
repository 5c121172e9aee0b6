//! `local demo` visits every operation, checks every response, and names what fails.

use std::process::{Command, Output};

use crate::app::{binaries, root};

const CHAPTERS: [&str; 12] = [
    "1. The main job",
    "2. Back again with a code by mail",
    "3. Single sign-on",
    "4. Google and Microsoft",
    "5. More front ends, native apps, and the way back",
    "6. Sign-ins that begin at WorkOS",
    "7. Organizations",
    "8. Steps on the way",
    "9. Signing in as a developer",
    "10. Recordings",
    "11. Ended at WorkOS",
    "12. Refusals",
];

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries().join("local"));
    command.arg("demo").args(arguments).current_dir(root());
    // The caller's own replacements must not reach the demo.
    command.env("WORKOS_API_URL", "http://127.0.0.1:9").env("STAGE", "prod");
    command.output().expect("the demo runs")
}

#[test]
fn every_step_passes() {
    let output = demo(&[]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{complaint}");
    assert_eq!(complaint, "");
    let headings: Vec<_> = shown.lines().filter(|line| CHAPTERS.contains(line)).collect();
    assert_eq!(headings, CHAPTERS);
    for path in paths() {
        // A parameter is shown with its example.
        let shown_path = path.split('{').next().unwrap();
        assert!(shown.contains(shown_path), "{path} is not shown");
    }
    assert!(!shown.contains('\u{1b}'), "colours although it is no terminal");
    assert!(!shown.contains('✗'));
}

#[test]
fn a_step_that_fails_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for entry in binaries().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if path.is_file() && name != "room-auth" {
            std::os::unix::fs::symlink(&path, folder.path().join(name)).unwrap();
        }
    }
    let folder_name = folder.path().to_str().unwrap();
    let missing = demo(&["--binaries", folder_name]);
    assert_eq!(missing.status.code(), Some(1));
    let complaint = String::from_utf8(missing.stderr).unwrap();
    assert!(complaint.contains("not built in") && complaint.contains(": room-auth;"), "{complaint}");

    // A program that is not a function.
    std::os::unix::fs::symlink("/bin/false", folder.path().join("room-auth")).unwrap();
    let broken = demo(&["--binaries", folder_name]);
    assert_eq!(broken.status.code(), Some(1));
    let complaint = String::from_utf8(broken.stderr).unwrap();
    let last = complaint.lines().last().unwrap();
    assert!(last.starts_with("error: The main job, “1.3 "), "{complaint}");
    assert!(last.contains("expected 200") && last.contains("got 500"), "{complaint}");
}

#[test]
fn an_operation_without_a_step_is_called_with_its_example() {
    let project = tempfile::tempdir().unwrap();
    let document = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let mut document: serde_yaml_ng::Value = serde_yaml_ng::from_str(&document).unwrap();
    let mut operation = document["paths"]["/auth/sign-in"]["post"].clone();
    operation["operationId"] = "forget-me".into();
    document["paths"]["/auth/forget-me"]["delete"] = operation;
    std::fs::write(project.path().join("openapi.yaml"), serde_yaml_ng::to_string(&document).unwrap())
        .unwrap();
    for entry in ["template.yaml", "local"] {
        std::os::unix::fs::symlink(root().join(entry), project.path().join(entry)).unwrap();
    }

    let output = demo(&["--root", project.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    let last = complaint.lines().last().unwrap();
    // The template has no such route.
    assert!(last.starts_with("error: Other endpoints, “13.") && last.contains("got 404"), "{complaint}");
}

/// The paths of all routes of the template.
fn paths() -> Vec<String> {
    let template: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&std::fs::read_to_string(root().join("template.yaml")).unwrap()).unwrap();
    let mut paths = Vec::new();
    for resource in template["Resources"].as_mapping().unwrap().values() {
        for event in
            resource["Properties"]["Events"].as_mapping().into_iter().flat_map(|events| events.values())
        {
            paths.extend(event["Properties"]["Path"].as_str().map(str::to_owned));
        }
    }
    assert!(paths.len() > 14, "{paths:?}");
    paths
}
