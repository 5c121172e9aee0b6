//! IAM: each function may do to the table exactly what it does. A policy with an action that is never used fails here,
//! and so does a call that no policy allows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local_dynamodb::Access;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::app::{App, Browser};

/// What one statement allows: actions on items whose keys begin in one of these ways.
#[derive(Debug)]
pub struct Statement {
    actions: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Statement {
    fn allows(&self, access: &Access) -> bool {
        self.actions.contains(&access.action) && self.kinds.contains(&access.kind)
    }
}

/// The statements about the table in template.yaml, by binary.
pub fn policies() -> BTreeMap<String, Vec<Statement>> {
    let text = std::fs::read_to_string(crate::app::root().join("template.yaml")).unwrap();
    let template: Yaml = serde_yaml_ng::from_str(&text).unwrap();
    let mut policies = BTreeMap::new();
    for resource in template["Resources"].as_mapping().unwrap().values() {
        if resource["Type"] != "AWS::Serverless::Function" {
            continue;
        }
        let Some(list) = resource["Properties"].get("Policies") else { continue };
        let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap().to_owned();
        let statements = list.as_sequence().unwrap().iter();
        let statements = statements.flat_map(|policy| policy["Statement"].as_sequence().unwrap());
        policies.insert(binary, statements.map(statement).collect());
    }
    policies
}

fn statement(yaml: &Yaml) -> Statement {
    assert_eq!(yaml["Effect"], "Allow");
    let Yaml::Tagged(resource) = &yaml["Resource"] else { panic!("the table by reference: {yaml:?}") };
    assert_eq!(
        (resource.tag.to_string().as_str(), resource.value.as_str()),
        ("!GetAtt", Some("SessionTable.Arn"))
    );
    let texts = |list: &Yaml| -> BTreeSet<String> {
        list.as_sequence().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let actions = texts(&yaml["Action"]);
    let keys = texts(&yaml["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]);
    Statement {
        actions: actions.iter().map(|action| bare(action.strip_prefix("dynamodb:"))).collect(),
        kinds: keys.iter().map(|key| bare(key.strip_suffix('*'))).collect(),
    }
}

/// What is left after the expected part: a wildcard anywhere else is none of a narrow policy.
fn bare(text: Option<&str>) -> String {
    let text = text.expect("actions are DynamoDB's, and keys end in a wildcard");
    assert!(!text.contains(['*', '?']), "{text} is not narrow");
    text.to_owned()
}

#[tokio::test]
async fn every_function_may_do_what_it_does_and_no_more() {
    let mut used: BTreeMap<String, BTreeSet<Access>> = BTreeMap::new();
    for accesses in [sign_ins().await, refreshes().await, recordings().await] {
        for access in accesses {
            used.entry(access.function.clone()).or_default().insert(access);
        }
    }
    let mut policies = policies();
    let mut wrong = Vec::new();
    for (function, accesses) in &used {
        let statements = policies.remove(function).unwrap_or_default();
        for access in accesses.iter().filter(|access| !statements.iter().any(|each| each.allows(access))) {
            wrong.push(format!("{function}: {} on {} is done and not allowed", access.action, access.kind));
        }
        for statement in &statements {
            let used: Vec<_> = accesses.iter().filter(|access| statement.allows(access)).collect();
            for action in
                statement.actions.iter().filter(|name| !used.iter().any(|each| each.action == **name))
            {
                wrong.push(format!("{function}: {action} is allowed and never done"));
            }
            for kind in statement.kinds.iter().filter(|name| !used.iter().any(|each| each.kind == **name)) {
                wrong.push(format!("{function}: items {kind} are allowed and never touched"));
            }
        }
    }
    wrong.extend(policies.keys().map(|function| format!("{function} has a policy and calls nothing")));
    assert!(wrong.is_empty(), "template.yaml is not what the functions do:\n{}", wrong.join("\n"));
}

const EMAIL: &str = "jane.doe@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";

/// Everything that begins, moves and ends a session, each beginning with and without an older session.
async fn sign_ins() -> BTreeSet<Access> {
    let app = App::start().await;
    let mut browser = app.browser();
    for _ in 0..2 {
        browser.sign_up(EMAIL).await.is(201);
        browser.finalize_magic_auth(EMAIL, &app.code(EMAIL)).await.is(200);
    }
    browser.dev_sign_in().await.is(200);
    app.browser().dev_sign_in().await.is(200);
    browser.sign_in(EMAIL).await.is(200);
    browser.resend_magic_auth(EMAIL).await.is(200);
    for _ in 0..2 {
        sign_in_with_google(&mut browser).await;
    }
    sign_in_with_google(&mut app.browser()).await;
    for held in [app.browser(), browser.clone()] {
        let mut browser = held;
        browser.sign_in(TWO_ORGANIZATIONS).await.is(200);
        let code = app.code(TWO_ORGANIZATIONS);
        let choice = browser.finalize_magic_auth(TWO_ORGANIZATIONS, &code).await.is(200);
        let (pending, first) =
            (choice.text("/user/pendingAuthenticationToken"), choice.text("/user/organizations/0/id"));
        browser.select_organization(&pending, &first).await.is(200);
        // To another one, to one that refuses, and with a session that has ended at WorkOS.
        let second = choice.text("/user/organizations/1/id");
        browser.switch_organization(TWO_ORGANIZATIONS, &second).await.is(200);
        browser.switch_organization(TWO_ORGANIZATIONS, "org_nowhere").await.is(403);
        app.workos().revoke_sessions(&app.workos().user_id(TWO_ORGANIZATIONS).unwrap());
        browser.switch_organization(TWO_ORGANIZATIONS, &first).await.is(401);
    }
    app.signed_in(EMAIL).await.sign_out().await.is(200);
    app.dynamodb().accesses()
}

async fn sign_in_with_google(browser: &mut Browser<'_>) {
    let answer = browser.send("/auth/continue-with-google", None).await.is(200);
    let url = format!("{}&login_hint={EMAIL}", answer.text("/authData/redirectURL"));
    let redirect = crate::app::http().get(url).send().await.unwrap();
    let location = redirect.headers().get("location").expect("a redirect to the front end").to_str().unwrap();
    let location = url::Url::parse(location).unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    browser.finalize_oauth(&code, None).await.is(200);
}

/// The authorizer: refresh, the last use, a lost election, trouble at WorkOS and the end of a session there.
async fn refreshes() -> BTreeSet<Access> {
    let app = App::with(|options| options.workos.access_token_lifetime = Duration::from_secs(1)).await;
    let mut browser = app.signed_in(EMAIL).await;
    browser.room_auth("Jane", "room").await.is(200);
    let (mut one, mut other) = (browser.clone(), browser.clone());
    tokio::join!(one.room_auth("Jane", "room"), other.room_auth("Jane", "room"));
    app.workos()
        .proxy()
        .inject(local_proxy::Fault::response("authenticate.refresh_token", 503, "{}").times(1));
    browser.room_auth("Jane", "room").await.is(200);

    let mut ended = app.signed_in(NEWCOMER).await;
    app.workos().revoke_sessions(&app.workos().user_id(NEWCOMER).unwrap());
    ended.room_auth("New", "room").await.is(403);
    app.dynamodb().accesses()
}

const NEWCOMER: &str = "new.user@example.com";

/// Recordings: start, a second start, a refusal by LiveKit, stop, webhooks in their order and before the record.
async fn recordings() -> BTreeSet<Access> {
    let app = App::start().await;
    let mut browser = app.signed_in(EMAIL).await;
    let token = browser.room_auth("Jane", "room").await.is(200).text("/token");
    app.livekit().join(&token).unwrap();

    app.livekit()
        .proxy()
        .inject(local_proxy::Fault::response("StartRoomCompositeEgress", 400, "{}").times(1));
    assert!(browser.start_recording(recording()).await.status.is_server_error());
    for _ in 0..2 {
        let started = browser.start_recording(recording()).await.is(200);
        browser.start_recording(recording()).await.refused(409, "already_recording");
        let egress_id = started.text("/egressId");
        let stop = json!({ "roomName": "room", "egressId": egress_id, "zoneId": "1" });
        browser.stop_recording(stop.clone()).await.is(200);
        browser.stop_recording(stop).await.is(200);
        app.livekit().webhooks_settled().await;
    }
    // LiveKit closes the room, which ends its recording.
    browser.start_recording(recording()).await.is(200);
    app.livekit().end_room("room").unwrap();
    app.livekit().webhooks_settled().await;
    app.dynamodb().accesses()
}

fn recording() -> Value {
    json!({ "roomName": "room", "conferenceTopic": "Weekly", "zoneId": "1", "participants": "alice,bob" })
}
