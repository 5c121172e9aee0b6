//! The Lambda function `resend-magic-auth`.

api::main!(resend_magic_auth::ResendMagicAuth);
