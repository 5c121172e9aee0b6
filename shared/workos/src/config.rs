//! The environment variables that this crate reads.

use api::Variable;

/// The base URL of WorkOS' API.
pub static API_URL: Variable = Variable::or(
    "WORKOS_API_URL",
    "https://api.workos.com",
    "The base URL of WorkOS' API, or of the custom authentication domain.",
);

/// The environment's API key.
pub static API_KEY: Variable =
    Variable::required("WORKOS_API_KEY", "The API key of the WorkOS environment (`sk_…`).");

/// The environment's client id.
pub static CLIENT_ID: Variable =
    Variable::required("WORKOS_CLIENT_ID", "The client id of the WorkOS environment (`client_…`).");

/// The accepted issuers of access tokens.
pub static ISSUERS: Variable = Variable::derived(
    "WORKOS_ISSUERS",
    "`https://api.workos.com` and `WORKOS_API_URL`: each as is, with a slash, and with `/user_management/<client id>`",
    "Comma-separated issuers of access tokens, compared exactly with the claim `iss`.",
);

/// The URL of the keys of access tokens.
pub static JWKS_URL: Variable = Variable::derived(
    "WORKOS_JWKS_URL",
    "`<WORKOS_API_URL>/sso/jwks/<client id>`",
    "The URL of the JSON Web Key Set that access tokens are verified with.",
);

/// The secrets of the webhook endpoint.
pub static WEBHOOK_SECRET: Variable = Variable::optional(
    "WORKOS_WEBHOOK_SECRET",
    "The signing secret of the endpoint for webhooks in the WorkOS dashboard, or two of them, comma-separated, while it is rotated. If unset, every webhook of WorkOS is refused.",
);

/// The page that the browser returns to after a sign-in.
pub static OAUTH_REDIRECT_URI: Variable = Variable::required(
    "OAUTH_REDIRECT_URI",
    "The page that the browser returns to with `code` and `state`, unless a sign-in names another one (`OAUTH_REDIRECT_URIS`); it must be a redirect URI in the WorkOS dashboard.",
);

/// Further pages, of other front ends and of native apps.
pub static OAUTH_REDIRECT_URIS: Variable = Variable::optional(
    "OAUTH_REDIRECT_URIS",
    "Comma-separated addresses that a sign-in can name as `redirectUri` instead of `OAUTH_REDIRECT_URI`: exact `https` URLs, URLs with an app's own scheme, and loopback URLs such as `http://127.0.0.1/callback`, which match on any port. Each must be a redirect URI in the WorkOS dashboard (`http://127.0.0.1:*/callback` for any port).",
);

/// The endpoint that starts SSO.
pub static SSO_AUTHORIZE_ENDPOINT: Variable = Variable::or(
    "SSO_AUTHORIZE_ENDPOINT",
    "user_management",
    "The endpoint that starts SSO: `user_management` (`/user_management/authorize`) or `sso` (`/sso/authorize`).",
);

/// The page that the browser returns to after a sign-out.
pub static SIGN_OUT_RETURN_TO: Variable = Variable::required(
    "SIGN_OUT_RETURN_TO",
    "The page that WorkOS sends the browser to after sign-out; it must be a sign-out redirect in the WorkOS dashboard.",
);

/// Further pages, of other front ends and of native apps.
pub static SIGN_OUT_RETURN_TOS: Variable = Variable::optional(
    "SIGN_OUT_RETURN_TOS",
    "Comma-separated addresses that `sign-out` can name as `returnTo` instead of `SIGN_OUT_RETURN_TO`, compared as those of `OAUTH_REDIRECT_URIS`. Each must be a sign-out redirect in the WorkOS dashboard.",
);
