//! The Lambda function `finalize-oauth`.

api::main!(finalize_oauth::FinalizeOAuth);
