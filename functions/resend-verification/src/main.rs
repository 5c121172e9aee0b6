//! The Lambda function `resend-verification`.

api::main!(resend_verification::ResendVerification);
