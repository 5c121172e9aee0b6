//! The Lambda function `dev-sign-in`.

api::main!(dev_sign_in::DevSignIn);
