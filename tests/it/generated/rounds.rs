//! docs/rounds.md, measured: what each endpoint's example costs on a warm process, against the budget that it declares.

use std::fmt::Write as _;

use api::Access;

use crate::rounds::{begin, end};
use crate::stage::Stage;

const INTRODUCTION: &str = "\
# Round trips

The upstream calls of each endpoint's example on a warm sandbox, for engineers who change an endpoint. Rounds are calls
that follow one another; calls of one round run concurrently. Routes behind the authorizer cost one round more: its read
of the session.

| function | rounds | calls |
|---|---|---|
";

#[tokio::test]
async fn every_endpoint_keeps_to_the_rounds_that_it_declares() {
    let stage = Stage::open().await;
    let mut text = INTRODUCTION.to_owned();
    for function in catalog::endpoints() {
        // The first request of a process also connects and reads the key set.
        stage.ready(function).await.succeed().await;
        let mut ready = stage.ready(function).await;
        begin(&stage.app);
        let response = ready.send().await;
        let mut measured = end(&stage.app);
        response.is(function.route.success);
        if function.route.access == Access::Session {
            let read = measured.calls.iter().position(|call| call == "GetItem");
            measured.calls.remove(read.expect("the authorizer reads the session"));
            measured.rounds -= 1;
        }
        let (name, declared) = (function.name, function.route.rounds);
        assert_eq!(measured.rounds, declared, "{name} declares {declared} rounds: {:?}", measured.calls);
        writeln!(text, "| {name} | {declared} | {} |", measured.calls.join(", ")).unwrap();
    }
    text.push_str("\nGenerated from the code by `make generate`.\n");
    super::golden::check("docs/rounds.md", &text);
}
