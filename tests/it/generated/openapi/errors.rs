//! The bodies of errors: flat objects, each with the reasons that have the same fields.

use std::collections::BTreeMap;

use api::{Access, Next, Reason, Route};
use serde_json::{Map, Value, json};

/// A field that only some reasons have.
pub struct Field {
    pub name: &'static str,
    /// Whether each error with this reason has it.
    pub required: bool,
    schema: Value,
}

impl Field {
    fn required(name: &'static str, schema: Value) -> Self {
        Self { name, required: true, schema }
    }

    fn optional(name: &'static str, schema: Value) -> Self {
        Self { name, required: false, schema }
    }
}

/// The fields of a route's error with this reason, beside those of every error.
pub fn fields(route: &Route, reason: Reason) -> Vec<Field> {
    let mut fields = own_fields(route, reason);
    if route.path == "/auth/finalize-oauth" && !matches!(reason.status(), 413 | 415 | 431 | 500) {
        let page = text("The `returnTo` of the sign-in.");
        fields.push(Field::optional("returnTo", page));
    }
    fields
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn own_fields(route: &Route, reason: Reason) -> Vec<Field> {
    let next = |names: &[Next]| {
        let names: Vec<_> = names.iter().map(|next| next.name()).collect();
        json!({ "type": "string", "description": "The next step.", "enum": names })
    };
    let pending = || text("The token of the pending sign-in.");
    let auth_data = || json!({ "$ref": "#/components/schemas/AuthData" });
    let methods = || {
        let description = "WorkOS' names of the methods that are allowed, if it names them.";
        json!({ "type": "array", "description": description, "items": { "type": "string" } })
    };
    let step = match reason {
        Reason::EmailVerificationRequired => Some(Next::VerifyEmail),
        Reason::MfaEnrollment => Some(Next::EnrollMfa),
        Reason::MfaChallenge => Some(Next::ChallengeMfa),
        Reason::AuthenticationMethodNotAllowed => Some(Next::OtherMethod),
        _ => None,
    };
    match (step, reason) {
        // A switch leaves no pending sign-in: WorkOS' page takes the step.
        (Some(step), _) if route.access == Access::OwnSession => {
            let mut fields = vec![
                Field::required("next", next(&[Next::Redirect])),
                Field::required("authData", auth_data()),
            ];
            if step == Next::OtherMethod {
                fields.push(Field::optional("allowedMethods", methods()));
            }
            return fields;
        }
        (Some(Next::OtherMethod), _) => {
            return vec![
                Field::required("next", next(&[Next::Redirect, Next::OtherMethod])),
                Field::optional("authData", auth_data()),
                Field::optional("allowedMethods", methods()),
                Field::optional("pendingAuthenticationToken", pending()),
            ];
        }
        (Some(step), _) => {
            return vec![
                Field::required("next", next(&[step])),
                Field::required("pendingAuthenticationToken", pending()),
            ];
        }
        (None, Reason::CodeRejected) if route.all_reasons().contains(&Reason::WrongStep) => {
            return vec![Field::optional("next", next(&[Next::VerifyEmail, Next::VerifyMfa]))];
        }
        (None, _) => {}
    }
    match reason {
        Reason::WrongStep => vec![Field::optional("next", next(&Next::ALL))],
        Reason::MissingField | Reason::InvalidField | Reason::InvalidEmail => {
            vec![Field::required("field", text("The field that is missing or invalid."))]
        }
        Reason::SsoRequired => vec![
            Field::required("next", json!({ "type": "string", "const": "redirect" })),
            Field::required("authData", json!({ "$ref": "#/components/schemas/SsoSignIn" })),
            Field::optional("pendingAuthenticationToken", pending()),
        ],
        Reason::ReauthenticationRequired => vec![
            Field::required("next", next(&[Next::Redirect, Next::SignIn])),
            Field::required(
                "authData",
                json!({ "anyOf": [
                    { "$ref": "#/components/schemas/AuthMethod" },
                    { "$ref": "#/components/schemas/AuthData" },
                ] }),
            ),
        ],
        Reason::AlreadyRecording => {
            let id = text("The running recording, if the caller may stop it.");
            vec![Field::optional("egressId", id)]
        }
        _ => Vec::new(),
    }
}

/// The names of the fields that every error has.
pub const COMMON: [&str; 5] = ["code", "message", "reason", "retryable", "requestId"];

/// The schema `Reason`: every reason of the API.
pub fn reason() -> Value {
    let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    json!({ "type": "string", "description": "Why a request failed. New ones may be added.", "enum": names })
}

/// The schema `Error`: what all errors of functions have in common.
pub fn any() -> Value {
    let reason = json!({ "$ref": "#/components/schemas/Reason" });
    object(
        json!({ "type": "integer" }),
        json!({ "type": "string" }),
        reason,
        json!({ "type": "boolean" }),
        Vec::new(),
    )
}

/// The schema of an error with this status, for one of `reasons`. Reasons with fields of their own have a schema of their
/// own, told apart by `reason`.
pub fn schema(route: &Route, status: u16, reasons: &[Reason]) -> Vec<Value> {
    let mut groups: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
    for reason in reasons {
        let key =
            fields(route, *reason).iter().map(|field| format!("{} {}, ", field.name, field.schema)).collect();
        groups.entry(key).or_default().push(*reason);
    }
    let of = |group: &Vec<Reason>| {
        let first = group.first().copied()?;
        let names: Vec<_> = group.iter().map(|reason| reason.name()).collect();
        let retryable: Vec<_> = group.iter().map(|reason| reason.retryable()).collect();
        let retryable = match retryable.iter().all(|each| *each == first.retryable()) {
            true => json!({ "type": "boolean", "const": first.retryable() }),
            false => json!({ "type": "boolean" }),
        };
        Some(object(
            json!({ "type": "integer", "const": status }),
            json!({ "type": "string", "const": first.message() }),
            json!({ "type": "string", "enum": names }),
            retryable,
            fields(route, first),
        ))
    };
    groups.values().filter_map(of).collect()
}

fn object(code: Value, message: Value, reason: Value, retryable: Value, own: Vec<Field>) -> Value {
    let request_id = json!({ "type": "string", "description": "The header `X-Request-Id`, for reports." });
    let common = COMMON.into_iter().zip([code, message, reason, retryable, request_id]);
    let required: Vec<_> =
        COMMON.into_iter().chain(own.iter().filter(|field| field.required).map(|field| field.name)).collect();
    let properties: Map<_, _> = common
        .chain(own.iter().map(|field| (field.name, field.schema.clone())))
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}
