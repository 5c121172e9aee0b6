//! Trying a code: the limits before WorkOS is asked, and what is taken back afterwards.

use api::{ApiError, EmailAddress, Reason, Request, SetCookie};
use store::{CodeTry, SourceLimit, Table, TryGrant};

use crate::browsers::{DEVICE, PENDING};
use crate::code_mail::note_code;

/// Admits tries of codes.
#[derive(Clone, Debug)]
pub struct CodeTries {
    table: Table,
}

/// A try that was admitted.
#[derive(Debug)]
pub struct Try<'a, I> {
    tries: &'a CodeTries,
    grant: TryGrant,
    email: &'a EmailAddress,
    req: &'a Request<I>,
}

impl CodeTries {
    /// Counts them in `table`.
    pub fn new(table: Table) -> Self {
        Self { table }
    }

    /// Counts a try, see [`CodeTry::admit`].
    ///
    /// # Errors
    /// `rate_limited` with the seconds until a try is possible; `store_unavailable`.
    pub async fn admit<'a, I>(
        &'a self,
        source: SourceLimit,
        email: &'a EmailAddress,
        req: &'a Request<I>,
    ) -> Result<Try<'a, I>, ApiError> {
        note_code(email, None);
        let device = DEVICE.find(&req.cookies, email);
        let pending = PENDING.find(&req.cookies, email);
        let request = CodeTry { source, client: &req.client, email, device, pending };
        Ok(Try { tries: self, grant: request.admit(&self.table).await?, email, req })
    }
}

impl<I> Try<'_, I> {
    /// Passes on what WorkOS said to the code, and takes back what was counted if that is not "wrong".
    ///
    /// # Errors
    /// That of `outcome`.
    pub async fn settle<T>(&self, outcome: Result<T, ApiError>) -> Result<T, ApiError> {
        if let Err(error) = &outcome {
            match Verdict::of(error.reason()) {
                Verdict::Wrong => {}
                Verdict::Right => self.grant.was_right(&self.tries.table).await,
                Verdict::NotChecked => self.grant.was_not_checked(&self.tries.table).await,
            }
        }
        outcome
    }

    /// The code was right: takes it off the wrong codes of the day and remembers the browser as the person's device.
    /// Returns the cookie; `None` if the store fails, which is no reason to refuse the sign-in.
    pub async fn remember_device(&self) -> Option<SetCookie> {
        let (result, ()) = tokio::join!(self.device(), self.grant.was_right(&self.tries.table));
        result.inspect_err(|error| tracing::warn!(cause = error.cause(), "a device was not remembered")).ok()
    }

    async fn device(&self) -> Result<SetCookie, ApiError> {
        let cookies = &self.req.cookies;
        let known = DEVICE.find(cookies, self.email).filter(|_| self.grant.is_of_device());
        let (key, cookie) = match known {
            Some(key) => (key, DEVICE.renew(cookies, self.email)),
            None => DEVICE.issue(cookies, self.email)?,
        };
        self.tries.table.remember_device(&key).await?;
        Ok(cookie)
    }
}

/// What a failed grant says about the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Or perhaps right: the response was lost.
    Wrong,
    /// The sign-in needs another step, or is refused for another reason.
    Right,
    NotChecked,
}

impl Verdict {
    fn of(reason: Reason) -> Self {
        match reason {
            Reason::RateLimited => Self::Wrong,
            reason if reason.retryable() => Self::NotChecked,
            reason if reason.status() == 403 => Self::Right,
            _ => Self::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rejected_code_counts_as_wrong() {
        assert_eq!(Verdict::of(Reason::CodeRejected), Verdict::Wrong);
        assert_eq!(Verdict::of(Reason::RateLimited), Verdict::Wrong);
        assert_eq!(Verdict::of(Reason::MfaChallenge), Verdict::Right);
        assert_eq!(Verdict::of(Reason::WorkosBusy), Verdict::NotChecked);
    }
}
