//! The Lambda function `livekit-webhook`.

api::main!(livekit_webhook::LivekitWebhook);
