//! The Lambda function `challenge-mfa`.

api::main!(challenge_mfa::ChallengeMfa);
