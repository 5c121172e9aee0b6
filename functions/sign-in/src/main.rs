//! The Lambda function `sign-in`.

api::main!(sign_in::SignIn);
