//! The bodies of errors: flat objects, each with the reasons that have the same fields.

use std::collections::BTreeMap;

use api::Reason;
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

/// The fields of an error with this reason, beside those of every error.
pub fn fields(reason: Reason) -> Vec<Field> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let pending = || {
        let token = text("The token of the pending sign-in.");
        Field::optional("pendingAuthenticationToken", token)
    };
    match reason {
        Reason::MissingField | Reason::InvalidField | Reason::InvalidEmail => {
            vec![Field::required("field", text("The field that is missing or invalid."))]
        }
        Reason::SsoRequired => vec![
            Field::required("next", json!({ "type": "string", "const": "redirect" })),
            Field::required("authData", json!({ "$ref": "#/components/schemas/SsoSignIn" })),
            pending(),
        ],
        // The step-ups.
        Reason::EmailVerificationRequired
        | Reason::MfaEnrollment
        | Reason::MfaChallenge
        | Reason::AuthenticationMethodNotAllowed => vec![pending()],
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
pub fn schema(status: u16, reasons: &[Reason]) -> Vec<Value> {
    let mut groups: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
    for reason in reasons {
        let key = fields(*reason).iter().map(|field| format!("{} {}, ", field.name, field.schema)).collect();
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
            fields(first),
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
