//! IAM: each function has exactly the permissions on the table that it uses. A call that no policy allows fails here, and
//! so does a permission that no call uses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::Access;
use local_dynamodb::Access as Call;
use local_workos::Policy;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use crate::app::{App, Browser};
use crate::stage::Stage;

/// One statement of a policy: actions on items whose keys have one of these prefixes, or on an index.
#[derive(Clone, Debug)]
pub struct Statement {
    actions: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Statement {
    fn allows(&self, access: &Call) -> bool {
        self.actions.contains(&access.action) && self.kinds.contains(&access.kind)
    }
}

/// The statements about the table in template.yaml, by binary: those in a function's own policies and those in the
/// managed policies that it refers to.
pub fn policies() -> BTreeMap<String, Vec<Statement>> {
    let source = crate::template::source();
    let mut policies = BTreeMap::new();
    for (binary, function) in crate::template::functions(&source) {
        let Some(list) = function["Properties"].get("Policies") else { continue };
        let documents = list.as_sequence().unwrap().iter().map(|policy| document(&source, policy));
        let statements = documents.flat_map(|document| document["Statement"].as_sequence().unwrap());
        policies.insert(binary.to_owned(), statements.map(statement).collect());
    }
    policies
}

/// The document of an entry of `Policies`: the entry itself, or that of the managed policy that it refers to.
fn document<'a>(source: &'a Yaml, policy: &'a Yaml) -> &'a Yaml {
    let Yaml::Tagged(reference) = policy else { return policy };
    assert_eq!(reference.tag, "Ref", "a managed policy of this template: {policy:?}");
    let managed = &source["Resources"][&reference.value];
    assert_eq!(managed["Type"], "AWS::IAM::ManagedPolicy", "{policy:?}");
    &managed["Properties"]["PolicyDocument"]
}

fn statement(yaml: &Yaml) -> Statement {
    assert_eq!(yaml["Effect"], "Allow");
    let strings = |list: &Yaml| -> BTreeSet<String> {
        list.as_sequence().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let actions = strings(&yaml["Action"]);
    let actions = actions.iter().map(|action| narrow(action.strip_prefix("dynamodb:"))).collect();
    let Yaml::Tagged(resource) = &yaml["Resource"] else { panic!("the table by reference: {yaml:?}") };
    let kinds = match (resource.tag.to_string().as_str(), resource.value.as_str().unwrap()) {
        ("!GetAtt", "SessionTable.Arn") => {
            let keys = strings(&yaml["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]);
            keys.iter().map(|key| narrow(key.strip_suffix('*'))).collect()
        }
        // The key of an index is not that of the items: a user's id has no prefix to narrow it by.
        ("!Sub", index) => BTreeSet::from([narrow(index.strip_prefix("${SessionTable.Arn}/"))]),
        other => panic!("another resource: {other:?}"),
    };
    Statement { actions, kinds }
}

/// The rest of an action or a key pattern, which must not contain another wildcard.
fn narrow(rest: Option<&str>) -> String {
    let rest = rest.expect("actions are DynamoDB's, and key patterns end in a wildcard");
    assert!(!rest.contains(['*', '?']), "{rest} is not narrow");
    rest.to_owned()
}

#[test]
fn every_policy_on_the_table_belongs_to_a_function() {
    let source = crate::template::source();
    let functions = serde_yaml_ng::to_string(&crate::template::functions(&source)).unwrap();
    for (name, resource) in source["Resources"].as_mapping().unwrap() {
        let name = name.as_str().unwrap();
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
            && serde_yaml_ng::to_string(resource).unwrap().contains("SessionTable")
        {
            assert!(functions.contains(&format!("!Ref {name}\n")), "no function has {name}");
        }
    }
}

/// Who may query the index can list the sessions of anybody, because IAM cannot narrow a key that is a user's id. So only
/// functions that act on all sessions of a person may, and no function that everybody can call without a session.
#[test]
fn only_functions_that_act_on_all_sessions_of_a_person_query_the_index() {
    let queries = |(function, statements): (String, Vec<Statement>)| {
        let is_query = |statement: &Statement| statement.actions.contains("Query");
        statements.iter().any(is_query).then_some(function)
    };
    let functions: Vec<_> = policies().into_iter().filter_map(queries).collect();
    assert_eq!(functions, ["list-sessions", "sign-out-everywhere", "sweep-sessions", "workos-webhook"]);
    for name in functions {
        let access = catalog::function(&name).unwrap().route.access;
        assert!(!matches!(access, Access::Public | Access::OwnSession), "{name}: {access:?}");
    }
}

#[tokio::test]
async fn every_function_has_the_permissions_that_it_uses_and_no_other() {
    let mut used: BTreeMap<String, BTreeSet<Call>> = BTreeMap::new();
    for accesses in [
        examples().await,
        sign_ins().await,
        people().await,
        refreshes().await,
        recordings().await,
        changes().await,
        rooms().await,
    ] {
        for access in accesses {
            used.entry(access.function.clone()).or_default().insert(access);
        }
    }
    let mut policies = policies();
    let mut wrong = Vec::new();
    for (function, accesses) in &used {
        let statements = policies.remove(function).unwrap_or_default();
        for access in accesses {
            match statements.iter().filter(|statement| statement.allows(access)).count() {
                0 => wrong.push(format!(
                    "{function} calls {} on {}, which no policy allows",
                    access.action, access.kind
                )),
                1 => {}
                _ => wrong.push(format!("{function}: {} on {} is allowed twice", access.action, access.kind)),
            }
        }
        for statement in &statements {
            let used: Vec<_> = accesses.iter().filter(|access| statement.allows(access)).collect();
            for action in
                statement.actions.iter().filter(|name| !used.iter().any(|each| each.action == **name))
            {
                wrong.push(format!("{function} may call {action} and never does"));
            }
            for kind in statement.kinds.iter().filter(|name| !used.iter().any(|each| each.kind == **name)) {
                wrong.push(format!("{function} may access items {kind} and never does"));
            }
        }
    }
    wrong
        .extend(policies.keys().map(|function| format!("{function} has a policy and never calls the table")));
    assert!(
        wrong.is_empty(),
        "template.yaml allows other calls than the functions make:\n{}",
        wrong.join("\n")
    );
}

/// The example of every endpoint.
async fn examples() -> BTreeSet<Call> {
    let stage = Stage::open().await;
    stage.survey().await;
    stage.app.dynamodb().accesses()
}

const EMAIL: &str = "jane.doe@example.com";
const TWO_ORGANIZATIONS: &str = "123@gmail.com";

/// Everything that starts, switches and ends a session. Each start happens with and without an older session.
async fn sign_ins() -> BTreeSet<Call> {
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
        // To another organization, to one that refuses, and after WorkOS has revoked the session.
        let second = choice.text("/user/organizations/1/id");
        browser.switch_organization(TWO_ORGANIZATIONS, &second).await.is(200);
        browser.switch_organization(TWO_ORGANIZATIONS, "org_nowhere").await.is(403);
        app.workos().revoke_sessions(&app.workos().user_id(TWO_ORGANIZATIONS).unwrap());
        browser.switch_organization(TWO_ORGANIZATIONS, &first).await.is(401);
    }
    app.signed_in(EMAIL).await.sign_out().await.is(200);
    step_ups(&app).await;
    app.dynamodb().accesses()
}

/// Sessions that are ended from another one, before and after a switch, and with WorkOS' confirmation missing.
async fn people() -> BTreeSet<Call> {
    let app = App::start().await;
    let [masadas, taunta] = [crate::organizations::MASADAS, crate::organizations::TAUNTA];
    let mut browser = crate::organizations::signed_in_to(&app, TWO_ORGANIZATIONS, masadas).await;
    app.reset_limits();
    let mut other = crate::organizations::signed_in_to(&app, TWO_ORGANIZATIONS, masadas).await;
    other.switch_organization(TWO_ORGANIZATIONS, taunta).await.is(200);
    let listed = browser.sessions().await.is(200);
    let id = listed.text("/sessions/1/id");
    app.workos().proxy().inject(local_proxy::Fault::response("sessions.revoke", 500, "{}").times(1));
    browser.end_session(&id).await.refused(503, "sessions_remain");
    browser.end_session(&id).await.is(200);
    browser.end_session(&id).await.refused(404, "session_not_found");
    browser.sign_out_everywhere(false).await.is(200);
    app.dynamodb().accesses()
}

/// Every endpoint that meets a step-up, and the calls that are not in the examples: another enrollment, wrong codes, and
/// steps in a signed-in browser.
async fn step_ups(app: &App) {
    app.reset_limits();
    let workos = app.workos();
    let mut browser = app.signed_in(EMAIL).await;
    let developer = workos.user_id("admin@cazzi.com").unwrap();
    let sam = workos.user_id("sam@example.com").unwrap();
    workos.add_membership(&sam, INITECH, "member", &[]);
    browser.sign_in("sam@example.com").await.is(200);
    let choice = browser.finalize_magic_auth("sam@example.com", &app.code("sam@example.com")).await.is(200);
    let pending = choice.text("/user/pendingAuthenticationToken");
    let refused = browser.select_organization(&pending, INITECH).await.refused(403, "mfa_enrollment");
    let pending = refused.text("/pendingAuthenticationToken");
    browser.step("enroll-mfa", &pending).await.is(200);
    let enrolled = browser.step("enroll-mfa", &pending).await.is(200);
    let challenge = enrolled.text("/challengeId");
    browser.verify_mfa(&pending, &challenge, "000000").await.refused(400, "code_rejected");
    let code = workos.totp_code_of(&enrolled.text("/secret"));
    browser.verify_mfa(&pending, &challenge, &code).await.is(200);

    let organization = workos.add_organization("Two factors", &[]);
    workos.set_policy(&organization, Policy { mfa_required: true, ..Policy::default() });
    for membership in ["org_01HCNYM2R5T8W9C3K6V7X1B4DA", &organization] {
        workos.deactivate_membership(&developer, membership);
    }
    workos.add_membership(&developer, &organization, "member", &[]);
    app.reset_limits();
    app.browser().dev_sign_in().await.refused(403, "mfa_enrollment");

    let eve = "eve@umbrella.test";
    let url = browser.continue_with_google().await.is(200).text("/authData/redirectURL");
    let back = app.at_provider(&url, eve).await;
    let refused = browser.finalize_oauth(back.code(), None).await.refused(403, "email_verification_required");
    let pending = refused.text("/pendingAuthenticationToken");
    browser.verify_email(&pending, "000000").await.refused(400, "code_rejected");
    browser.verify_email(&pending, &app.code(eve)).await.is(200);
}

const INITECH: &str = "org_01JN1TECH00000000000000000";

async fn sign_in_with_google(browser: &mut Browser<'_>) {
    let response = browser.send("/auth/continue-with-google", None).await.is(200);
    let url = format!("{}&login_hint={EMAIL}", response.text("/authData/redirectURL"));
    let redirect = crate::app::http().get(url).send().await.unwrap();
    let location = redirect.headers().get("location").expect("the provider redirects").to_str().unwrap();
    let location = url::Url::parse(location).unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    browser.finalize_oauth(&code, None).await.is(200);
}

/// The authorizer: a refresh, a write of the last use, a concurrent refresh, a WorkOS outage and a revoked session.
async fn refreshes() -> BTreeSet<Call> {
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
    ended.room_auth("New", "room").await.refused(401, "not_signed_in");
    app.dynamodb().accesses()
}

const NEWCOMER: &str = "new.user@example.com";

/// Recordings: a start, a second start, a rejection by LiveKit, a stop, and the webhooks.
async fn recordings() -> BTreeSet<Call> {
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
    // A closed room ends its recording.
    browser.start_recording(recording()).await.is(200);
    app.livekit().end_room("room").unwrap();
    app.livekit().webhooks_settled().await;
    // The sweep completes a start, ends a recording that runs too long, and repairs what a lost webhook left.
    app.livekit().join(&token).unwrap();
    app.livekit().set_webhook_url(None);
    let proxy = app.dynamodb().proxy();
    proxy.inject(local_proxy::Fault::new("TransactWriteItems", local_proxy::Effect::Serve).times(1));
    proxy.inject(local_proxy::Fault::new("TransactWriteItems", local_proxy::Effect::Drop).times(3));
    browser.start_recording(recording()).await.refused(503, "store_unavailable");
    for end in [false, true] {
        if end {
            app.livekit().finish(&app.running()[0].egress_id).unwrap();
        }
        app.cloud.fire_schedule("sweep-recordings").await.unwrap();
    }
    app.dynamodb().accesses()
}

/// What changes at WorkOS: every webhook, and the list of events.
async fn changes() -> BTreeSet<Call> {
    let app = App::start().await;
    crate::ended::every_event(&app).await;
    app.dynamodb().accesses()
}

/// Rooms: joins under live and ended sessions, sign-outs that leave them, before and after a switch, and sessions that end
/// elsewhere.
async fn rooms() -> BTreeSet<Call> {
    let app = App::start().await;
    for switches in [false, true] {
        for body in [json!({}), json!({ "leaveRooms": true })] {
            app.reset_limits();
            let mut browser = crate::meeting::john(&app, crate::meeting::MASADAS).await;
            if switches {
                browser.switch_organization(TWO_ORGANIZATIONS, crate::meeting::TAUNTA).await.is(200);
            }
            crate::meeting::enter(&app, &mut browser, "room").await;
            let token = browser.room_auth("John", "room").await.is(200).text("/token");
            browser.post("/auth/sign-out", body).await.is(200);
            app.livekit().join(&token).unwrap();
            app.livekit().webhooks_settled().await;
        }
    }
    let mut accesses = app.dynamodb().accesses();
    for end in crate::leaving::ENDS {
        let app = App::start().await;
        crate::leaving::ended_elsewhere(&app, end).await;
        accesses.extend(app.dynamodb().accesses());
    }
    accesses
}

fn recording() -> Value {
    json!({ "roomName": "room", "conferenceTopic": "Weekly", "zoneId": "1", "participants": "alice,bob" })
}
