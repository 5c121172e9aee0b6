//! The Lambda function `verify-mfa`.

api::main!(verify_mfa::VerifyMfa);
