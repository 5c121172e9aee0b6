//! The Lambda function `finalize-magic-auth`.

api::main!(finalize_magic_auth::FinalizeMagicAuth);
