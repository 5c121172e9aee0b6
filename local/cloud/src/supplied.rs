//! The local cloud's values for the functions' variables.

use std::collections::BTreeMap;

use local_dynamodb::DynamoDb;
use local_livekit::LiveKit;
use local_workos::WorkOs;

use super::options::{CloudOptions, FRONT_ENDS};
use super::part::Part;
use super::redirects::Redirects;

/// Values by name.
pub(super) struct Supplied {
    /// These replace the template's.
    pub(super) always: BTreeMap<String, String>,
    /// For variables without a value in the template.
    pub(super) otherwise: BTreeMap<String, String>,
    pub(super) dynamodb_url: String,
}

impl Supplied {
    pub(super) fn new(
        options: &CloudOptions,
        workos: &Part<WorkOs>,
        livekit: &Part<LiveKit>,
        dynamodb: &Part<DynamoDb>,
        redirects: Redirects,
    ) -> Self {
        let mut always = BTreeMap::new();
        let mut set = |name: &str, value: String| always.insert(name.to_owned(), value);
        set("ALLOWED_ORIGINS", FRONT_ENDS.join(","));
        set("OAUTH_REDIRECT_URI", redirects.sign_in.default);
        set("OAUTH_REDIRECT_URIS", redirects.sign_in.others);
        set("SIGN_OUT_RETURN_TO", redirects.sign_out.default);
        set("SIGN_OUT_RETURN_TOS", redirects.sign_out.others);
        set("WORKOS_API_URL", workos.url(WorkOs::url).to_owned());
        set("WORKOS_API_KEY", options.workos.api_key.clone());
        set("WORKOS_CLIENT_ID", options.workos.client_id.clone());
        set("WORKOS_WEBHOOK_SECRET", options.workos.webhooks.secret.clone());
        if let Part::Local(workos) = workos {
            set("WORKOS_ISSUERS", workos.issuer());
            set("WORKOS_JWKS_URL", workos.jwks_url());
        }
        set("LIVEKIT_URL", livekit.url(LiveKit::url).to_owned());
        set("LIVEKIT_API_KEY", options.livekit.api_key.clone());
        set("LIVEKIT_API_SECRET", options.livekit.api_secret.clone());
        always.extend(options.environment.clone());
        // No recording is written locally, so any credential will do.
        let otherwise = ["RECORDING_ACCESS_KEY", "RECORDING_SECRET_KEY"];
        let otherwise = otherwise.map(|name| (name.to_owned(), "local".to_owned())).into();
        Self { always, otherwise, dynamodb_url: dynamodb.url(DynamoDb::url).to_owned() }
    }
}
