//! The Lambda function `enroll-mfa`.

api::main!(enroll_mfa::EnrollMfa);
