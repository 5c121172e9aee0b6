//! `local demo`: every step succeeds, and a failing step is reported.

use std::process::{Command, Output};

use crate::app::{binaries, root};

const CHAPTERS: [&str; 8] = [
    "1. The main job",
    "2. Back again with a code by mail",
    "3. Single sign-on",
    "4. Google and Microsoft",
    "5. Organizations",
    "6. Signing in as a developer",
    "7. Recordings",
    "8. Refusals",
];

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries().join("local"));
    command.arg("demo").args(arguments).current_dir(root());
    // Variables of the caller's shell must not reach the demo.
    command.env("WORKOS_API_URL", "http://127.0.0.1:9").env("STAGE", "prod");
    command.output().expect("the demo runs")
}

#[test]
fn every_step_succeeds() {
    let output = demo(&[]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    let headings: Vec<_> = stdout.lines().filter(|line| CHAPTERS.contains(line)).collect();
    assert_eq!(headings, CHAPTERS);
    for path in paths() {
        assert!(stdout.contains(&path), "{path} is not shown");
    }
    assert!(!stdout.contains('\u{1b}'), "colors without a terminal");
    assert!(!stdout.contains('✗'));
}

#[test]
fn a_failing_step_is_named() {
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
    let stderr = String::from_utf8(missing.stderr).unwrap();
    assert!(stderr.contains("not built in") && stderr.contains(": room-auth;"), "{stderr}");

    // A program that is not a function.
    std::os::unix::fs::symlink("/bin/false", folder.path().join("room-auth")).unwrap();
    let broken = demo(&["--binaries", folder_name]);
    assert_eq!(broken.status.code(), Some(1));
    let stderr = String::from_utf8(broken.stderr).unwrap();
    let last = stderr.lines().last().unwrap();
    assert!(last.starts_with("error: The main job, “1.3 "), "{stderr}");
    assert!(last.contains("expected 200") && last.contains("got 500"), "{stderr}");
}

/// The paths of all routes in the template.
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
