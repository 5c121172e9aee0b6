//! All functions with what they declare: route, configuration, and the types of request and response. The static checks
//! and the generated documents go over this one list, and a test compares it with the folders of `functions/`.

use api::{ApiConfig, ConfigError, Env, Nothing, Route};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Reads a function's configuration.
pub type Load = fn(&Env) -> Result<(), ConfigError>;

/// An endpoint, as it declares itself.
pub struct Endpoint {
    pub route: &'static Route,
    /// Reads its configuration.
    pub load: Load,
    /// The schema of its request; none where it takes no JSON.
    pub request: fn(&mut SchemaGenerator) -> Option<Named>,
    /// The schema of its success.
    pub response: fn(&mut SchemaGenerator) -> Named,
}

/// A schema and the name of its type.
pub struct Named {
    pub name: String,
    pub schema: Schema,
}

macro_rules! endpoints {
    ($($function:ident: $($input:ty)? => $output:ty;)+) => {
        /// All endpoints, in the order of the API document.
        pub const ALL: &[Endpoint] = &[$(Endpoint {
            route: &$function::ROUTE,
            load: |env| {
                ApiConfig::load(env)?;
                $function::Context::load(env).map(drop)
            },
            request: endpoints!(@request $($input)?),
            response: named::<$output>,
        }),+];
    };
    (@request $input:ty) => { |generator| Some(named::<$input>(generator)) };
    (@request) => { |_| None };
}

endpoints! {
    sign_in: sign_in::Input => sign_in::Output;
    dev_sign_in: Nothing => dev_sign_in::Output;
    sign_up: sign_up::Input => api::response::Done;
    finalize_oauth: finalize_oauth::Input => session::SignedIn;
    resend_magic_auth: resend_magic_auth::Input => api::response::Done;
    finalize_magic_auth: finalize_magic_auth::Input => session::SignedIn;
    continue_with_google: Nothing => continue_with_google::Output;
    continue_with_microsoft: Nothing => continue_with_microsoft::Output;
    select_organization: select_organization::Input => session::SignedIn;
    switch_organization: switch_organization::Input => session::SignedIn;
    sign_out: Nothing => sign_out::Output;
    room_auth: room_auth::Input => room_auth::Output;
    start_recording: recording::NewRecording => recording::Started;
    stop_recording: recording::Stop => recording::Stopped;
    livekit_webhook: => livekit_webhook::Output;
}

/// The endpoint at `path`.
pub fn at(path: &str) -> Option<&'static Endpoint> {
    ALL.iter().find(|endpoint| endpoint.route.path == path)
}

fn named<T: JsonSchema>(generator: &mut SchemaGenerator) -> Named {
    Named { name: T::schema_name().into_owned(), schema: T::json_schema(generator) }
}

/// Each function with its name and the loading of its configuration, the authorizer included.
pub fn functions() -> Vec<(&'static str, Load)> {
    let authorizer: Load = |env| authorizer::Context::load(env).map(drop);
    let endpoints = ALL.iter().map(|endpoint| (endpoint.route.name, endpoint.load));
    endpoints.chain([(authorizer::NAME, authorizer)]).collect()
}

#[test]
fn every_folder_of_functions_is_listed() {
    let folders = std::fs::read_dir(crate::app::root().join("functions")).unwrap();
    let mut folders: Vec<_> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    let mut listed: Vec<_> = functions().into_iter().map(|(name, _)| name).collect();
    listed.sort_unstable();
    assert_eq!(listed, folders);
}

#[test]
fn a_function_is_named_by_the_last_segment_of_its_route() {
    for Endpoint { route, .. } in ALL {
        // `livekit-webhook` would else be called `livekit`, which says nothing.
        if route.name != "livekit-webhook" {
            assert_eq!(route.path.rsplit('/').next(), Some(route.name));
        }
        let mut reasons: Vec<_> = route.reasons.iter().chain(api::Reason::COMMON).collect();
        let count = reasons.len();
        reasons.sort();
        reasons.dedup();
        assert_eq!(reasons.len(), count, "{} lists a reason twice", route.name);
    }
}
