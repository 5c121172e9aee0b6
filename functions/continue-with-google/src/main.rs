//! The Lambda function `continue-with-google`.

api::main!(continue_with_google::ContinueWithGoogle);
