//! The Lambda function `list-sessions`.

api::main!(list_sessions::ListSessions);
