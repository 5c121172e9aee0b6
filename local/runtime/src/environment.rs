//! The variables that Lambda sets for a process.

use time::OffsetDateTime;

use super::config::{Account, FunctionConfig};
use super::ids;

/// The variables that Lambda sets for a function on an OS-only runtime.
/// Source: "Defined runtime environment variables", AWS Lambda developer guide.
pub(super) fn lambda_variables(config: &FunctionConfig, account: &Account) -> Vec<(String, String)> {
    let today = OffsetDateTime::now_utc().date();
    let stream = format!(
        "{:04}/{:02}/{:02}/[$LATEST]{}",
        today.year(),
        u8::from(today.month()),
        today.day(),
        ids::hex::<16>()
    );
    let folder = config.program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let variables = [
        ("_HANDLER", "bootstrap".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ASIALOCALLOCALLOCAL0".to_owned()),
        ("AWS_DEFAULT_REGION", account.region.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", config.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", config.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", config.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", stream),
        ("AWS_REGION", account.region.clone()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        // Identifies the calling function to the local DynamoDB.
        ("AWS_SESSION_TOKEN", config.binary.clone()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("LAMBDA_TASK_ROOT", folder),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
