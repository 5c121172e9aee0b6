//! The crates that each function links.

use std::process::Command;

/// The crates that `function` links, according to `cargo tree`.
fn linked(function: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{lib}",
            "-p",
            function,
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

const DYNAMODB: [&str; 2] = ["store", "aws_sdk_dynamodb"];
const WORKOS: [&str; 2] = ["workos", "session"];
const TLS: [&str; 4] = ["rustls", "reqwest", "ring", "aws_lc_rs"];

#[test]
fn room_auth_links_no_dynamodb_no_workos_and_no_tls() {
    let linked = linked("room-auth");
    assert!(linked.iter().any(|name| name == "livekit"), "{linked:?}");
    for name in DYNAMODB.iter().chain(&WORKOS).chain(&["rustls", "reqwest", "hyper_rustls", "tokio_rustls"]) {
        assert!(!linked.iter().any(|each| each == name), "room-auth links {name}");
    }
}

#[test]
fn functions_without_network_calls_link_no_dynamodb() {
    for function in ["continue-with-google", "continue-with-microsoft", "start-login"] {
        let linked = linked(function);
        for name in DYNAMODB {
            assert!(!linked.iter().any(|each| each == name), "{function} links {name}");
        }
    }
}

#[test]
fn cargo_tree_lists_the_linked_crates() {
    let linked = linked("authorizer");
    for name in DYNAMODB.iter().chain(&WORKOS).chain(&TLS) {
        assert!(linked.iter().any(|each| each == name), "{name} is not listed for the authorizer");
    }
}

#[test]
fn no_function_links_http_2_or_a_development_tool() {
    for function in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../functions")).unwrap() {
        let function = function.unwrap().file_name().into_string().unwrap();
        let linked = linked(&function);
        for name in ["h2", "local", "dynoxide", "axum", "clap"] {
            assert!(!linked.iter().any(|each| each == name), "{function} links {name}");
        }
    }
}
