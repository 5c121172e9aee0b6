//! The Lambda function `end-session`.

api::main!(end_session::EndSession);
