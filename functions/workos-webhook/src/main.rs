//! The Lambda function `workos-webhook`.

api::main!(workos_webhook::WorkosWebhook);
