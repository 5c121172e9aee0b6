//! The Lambda function `get-session`.

api::main!(get_session::GetSession);
