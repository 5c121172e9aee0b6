//! The route of an endpoint: the one constant that the template check, the OpenAPI document, the README table and the
//! log fields are compared with.

use crate::Reason;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever the authorizer lets pass: API Gateway answers 403 to all others before the function runs.
    Protected,
}

/// A route. The method is always `POST`.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The function's name, which is the last segment of the path, the folder and the binary.
    pub name: &'static str,
    /// The path, without a trailing slash.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The status of success.
    pub success: u16,
    /// The reasons that this endpoint can answer beside those of [`Route::all_reasons`].
    pub reasons: &'static [Reason],
}

impl Route {
    /// A route that anybody may call and that answers 200.
    pub const fn public(name: &'static str, path: &'static str) -> Self {
        Self { name, path, access: Access::Public, success: 200, reasons: &[] }
    }

    /// A route behind the authorizer that answers 200.
    pub const fn protected(name: &'static str, path: &'static str) -> Self {
        Self { access: Access::Protected, ..Self::public(name, path) }
    }

    /// Success is 201 instead of 200.
    #[must_use]
    pub const fn creates(mut self) -> Self {
        self.success = 201;
        self
    }

    /// Names the reasons that this endpoint can answer beside the common ones.
    #[must_use]
    pub const fn reasons(mut self, reasons: &'static [Reason]) -> Self {
        self.reasons = reasons;
        self
    }

    /// Every reason that this endpoint can answer: its own, the common ones, and on a protected route those of the
    /// authorizer.
    pub fn all_reasons(&self) -> impl Iterator<Item = Reason> {
        let protection = match self.access {
            Access::Public => &[],
            Access::Protected => Reason::PROTECTION,
        };
        self.reasons.iter().chain(Reason::COMMON).chain(protection).copied()
    }
}
