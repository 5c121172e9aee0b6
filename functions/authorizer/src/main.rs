//! The Lambda function `authorizer`.

api::main!(authorizer::Authorizer);
