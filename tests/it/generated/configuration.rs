//! docs/configuration.md, from the variables that each function actually reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::config::Default;
use api::{Env, Variable};
use catalog::Function;

/// A value for every variable, so that every function loads its whole configuration.
pub const FULL: [(&str, &str); 39] = [
    ("ALLOWED_ORIGINS", "https://app.example.com"),
    ("AWS_ACCESS_KEY_ID", "id"),
    ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000"),
    ("AWS_REGION", "eu-central-1"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
    ("AWS_SESSION_TOKEN", "token"),
    ("COOKIE_SAME_SITE", "lax"),
    ("DEV_SIGN_IN_EMAIL", "admin@cazzi.com"),
    ("LIVEKIT_API_KEY", "key"),
    ("LIVEKIT_API_SECRET", "secret"),
    ("LIVEKIT_URL", "https://livekit.example.com"),
    ("MAIL_FLOOR_MS", "400"),
    ("OAUTH_REDIRECT_URI", "https://app.example.com/callback"),
    ("OAUTH_REDIRECT_URIS", "https://admin.example.com/callback"),
    ("RECORDING_ACCESS_KEY", "id"),
    ("RECORDING_BUCKET", "recordings"),
    ("RECORDING_ENDPOINT", "https://s3.example.com"),
    ("RECORDINGS_PER_CALLER", "3"),
    ("RECORDING_MAX_SECONDS", "14400"),
    ("RECORDING_POLICY", "participants"),
    ("RECORDING_REGION", "eu-central-1"),
    ("RECORDING_RETENTION_DAYS", "365"),
    ("RECORDING_ROLE_ARN", "arn:aws:iam::123456789012:role/uploader"),
    ("RECORDING_SECRET_KEY", "key"),
    ("REAUTHENTICATION_SECONDS", "600"),
    ("REFRESH_GRACE_SECONDS", "900"),
    ("ROOM_SCOPE", "none"),
    ("SESSION_ABSOLUTE_SECONDS", "2592000"),
    ("SESSION_IDLE_SECONDS", "604800"),
    ("SESSION_TABLE", "sessions"),
    ("SESSION_TRANSPORTS", "cookie"),
    ("SIGN_OUT_RETURN_TO", "https://app.example.com"),
    ("SIGN_OUT_RETURN_TOS", "https://admin.example.com"),
    ("SSO_AUTHORIZE_ENDPOINT", "user_management"),
    ("STAGE", "dev"),
    ("WORKOS_API_KEY", "sk_test_key"),
    ("WORKOS_API_URL", "https://api.workos.com"),
    ("WORKOS_CLIENT_ID", "client_1"),
    ("WORKOS_WEBHOOK_SECRET", "whsec_1"),
];

/// The variables that a function reads, by name: once with every variable set, and once with only the required ones,
/// when it may fall back to others.
pub fn read_by(function: &Function) -> Vec<&'static Variable> {
    let full = Env::fixed(FULL);
    function.load(&full).expect("a function loads with every variable set");
    let mut read: BTreeMap<_, _> =
        full.asked().into_iter().map(|variable| (variable.name, variable)).collect();
    let required = |name: &str| read.get(name).is_some_and(|variable| variable.default == Default::Required);
    let bare = Env::fixed(FULL.into_iter().filter(|(name, _)| required(name)).collect::<Vec<_>>());
    function.load(&bare).expect("a function loads with its required variables");
    read.extend(bare.asked().into_iter().map(|variable| (variable.name, variable)));
    read.into_values().collect()
}

const INTRODUCTION: &str = "\
# Configuration

The environment variables of the functions; there is no other configuration. A function reads only its own, when it
starts. If one is missing or invalid, the function logs one line that names it and exits. An empty value counts as
unset.

In AWS, `template.yaml` sets them from its parameters and one Secrets Manager secret, see
[operations.md](operations.md). On a developer's machine the local cloud sets them all; a variable given to `make dev`
takes precedence.

Generated from the code by `make generate`; a test compares it with the code and with `template.yaml`.
";

const LAMBDA: &str = "
## Set by Lambda

Functions read these too. Lambda sets them, except `AWS_ENDPOINT_URL_DYNAMODB`, which is for a local table and is not in
the template.
";

#[test]
fn the_document_lists_every_variable() {
    let mut variables: BTreeMap<&str, (&Variable, Vec<&str>)> = BTreeMap::new();
    let functions = catalog::functions();
    for function in functions {
        for variable in read_by(function) {
            let (known, readers) = variables.entry(variable.name).or_insert((variable, Vec::new()));
            assert_eq!(*known, variable, "two declarations of {} differ", variable.name);
            readers.push(function.name);
        }
    }
    let table = |lambda: bool| {
        let mut table = "\n| variable | meaning | default | read by |\n|---|---|---|---|\n".to_owned();
        for (variable, readers) in variables.values() {
            if variable.name.starts_with("AWS_") == lambda {
                row(&mut table, variable, readers, functions.len());
            }
        }
        table
    };
    let text = format!("{INTRODUCTION}{}{LAMBDA}{}", table(false), table(true));
    super::golden::check("docs/configuration.md", &text);
}

fn row(table: &mut String, variable: &Variable, readers: &[&str], functions: usize) {
    let default = match variable.default {
        Default::Required => "required".to_owned(),
        Default::Unset => "none".to_owned(),
        Default::Value(value) => format!("`{value}`"),
        Default::Derived(description) => description.to_owned(),
    };
    let readers = match readers {
        all if all.len() == functions => "all".to_owned(),
        // Every endpoint reads it, but the authorizer does not.
        most if most.len() + 1 == functions && !most.contains(&"authorizer") => {
            "all but authorizer".to_owned()
        }
        some => some.join(", "),
    };
    let meaning = variable.meaning.replace('|', "\\|");
    writeln!(table, "| `{}` | {meaning} | {default} | {readers} |", variable.name).unwrap();
}
