//! The Lambda function `sign-out`.

api::main!(sign_out::SignOut);
