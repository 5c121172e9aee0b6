//! The Lambda function `start-login`.

api::main!(start_login::StartLogin);
