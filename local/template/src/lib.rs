//! What the local cloud reads from `template.yaml`: functions, routes, authorizers, CORS, tables and schedules, so that
//! what runs locally is what deploys.
//!
//! [`Template::parse`] takes the text of a SAM template and the values of a deployment ([`Deployment`]). Resources whose
//! `Condition` is false are left out. An environment variable whose value exists only in AWS (a secret, an attribute of a
//! resource that is not emulated) is kept with the reason, and is an error only if nobody supplies a value: see
//! [`Function::environment`].
//!
//! Modules, lowest first: `model`, `intrinsics`, `read`.

mod intrinsics;
mod model;
mod read;

pub use model::{
    API_ID, Authorizer, Cors, Deployment, Function, Route, Schedule, Table, Template, TemplateError,
};

#[cfg(test)]
mod tests;
