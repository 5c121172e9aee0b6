//! The Lambda function `sign-up`.

api::main!(sign_up::SignUp);
