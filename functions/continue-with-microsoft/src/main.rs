//! The Lambda function `continue-with-microsoft`.

api::main!(continue_with_microsoft::ContinueWithMicrosoft);
