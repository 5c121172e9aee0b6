//! The Lambda function `verify-email`.

api::main!(verify_email::VerifyEmail);
