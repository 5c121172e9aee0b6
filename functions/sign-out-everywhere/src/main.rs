//! The Lambda function `sign-out-everywhere`.

api::main!(sign_out_everywhere::SignOutEverywhere);
