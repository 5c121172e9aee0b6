//! Sign-ins that wait for a step: a verified address, a second factor.
//!
//! | `pk` | item |
//! |---|---|
//! | `pending#<SHA-256 of the token>` | a sign-in that WorkOS refused until a step is taken, for ten minutes |
//! | `enrolling#<user id>` | the last enrollment of an authenticator app, and the claim on the next one |
//!
//! What a step needs is bound here and never taken from the client: the user, the kind of step, the challenges that were
//! issued, the tries. The token is a credential of WorkOS, so only its hash is stored.
//!
//! # Whose first code was accepted?
//!
//! WorkOS lists a user's factors without telling which were ever verified. A factor is known not to be if its own pending
//! sign-in still exists and no code is being tried with it: [`Table::retire_enrollment`] tells, and prevents that it is
//! verified later. A try counts in `in_flight` until WorkOS has provably refused it. A pending sign-in that ends takes its
//! item along.

use api::clock::{self, LEEWAY};
use api::{ApiError, Client, Next, Reason, random};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

use crate::attributes::{Item, Reader, number, string_set, strings, text};
use crate::limit::SourceLimit;
use crate::table::Table;
use crate::write::{Step, Write, Written};

/// Lifetime of a pending sign-in.
pub const STEP_SECONDS: u64 = 600;

/// Tries of a pending sign-in, over all its codes.
pub const STEP_TRIES: u64 = 5;

/// How long the claim on an enrollment lasts: longer than an invocation.
const CLAIM_SECONDS: u64 = 10;

/// After this time, the outcome of a try shows in what WorkOS says about the user.
const SETTLED_SECONDS: u64 = 30 + LEEWAY;

/// The hash of a pending sign-in's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingKey(String);

/// A sign-in that waits for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSignIn {
    /// The step.
    pub step: Next,
    /// When WorkOS asked for it, in seconds since the Unix epoch.
    pub refused_at: u64,
    /// The WorkOS user id, if WorkOS named the user.
    pub user_id: Option<String>,
    /// The person's address, if WorkOS sent it.
    pub email: Option<String>,
    /// The id of the mailed code that verifies the address.
    pub email_verification_id: Option<String>,
    /// The ids of the person's authenticator apps.
    pub apps: Vec<String>,
}

/// A request that tries the code of a step.
#[derive(Debug)]
pub struct StepTry<'a> {
    /// The endpoint's limit per source.
    pub source: SourceLimit,
    /// The client.
    pub client: &'a Client,
    /// The pending sign-in.
    pub key: PendingKey,
    /// The steps that the code can be for.
    pub steps: &'a [Next],
    /// The challenge that the code is for, which must have been issued for this pending sign-in.
    pub challenge: Option<&'a str>,
}

/// A try that was counted.
#[derive(Debug)]
pub struct StepTryGrant {
    key: PendingKey,
}

/// The last enrollment of a person, as noted when the next one is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEnrollment {
    /// The pending sign-in that it belongs to.
    pub key: PendingKey,
    /// The factor.
    pub factor_id: String,
}

impl PendingKey {
    /// The key of a token.
    pub fn of(token: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())))
    }

    fn pk(&self) -> String {
        format!("pending#{}", self.0)
    }
}

impl PendingSignIn {
    /// Decodes an item, unless it has expired.
    fn decode(item: &Item, now: u64) -> Option<Self> {
        let reader = Reader(item);
        reader.optional_number("expires_at").filter(|at| *at > now)?;
        Some(Self {
            step: Next::named(&reader.optional_text("waits_for")?)?,
            refused_at: reader.optional_number("refused_at")?,
            user_id: reader.optional_text("user"),
            email: reader.optional_text("email"),
            email_verification_id: reader.optional_text("email_verification_id"),
            apps: reader.strings("apps"),
        })
    }
}

impl Table {
    /// Remembers a sign-in that waits for a step. WorkOS may keep the token from step to step: its tries stay counted.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn begin_step(&self, key: &PendingKey, pending: &PendingSignIn) -> Result<(), ApiError> {
        let optional = |value: &Option<String>| value.clone().map(text);
        let write = Write::to(key.pk())
            .set("waits_for", text(pending.step.name()))
            .set("refused_at", number(pending.refused_at))
            .set("expires_at", number(pending.refused_at + STEP_SECONDS))
            // Not `user_id`, which the index of a user's sessions is built on.
            .set_or_remove("user", optional(&pending.user_id))
            .set_or_remove("email", optional(&pending.email))
            .set_or_remove("email_verification_id", optional(&pending.email_verification_id))
            .set("apps", strings(&pending.apps))
            .set_default("tries", number(0))
            .remove("challenges");
        self.update(write).await.map(drop)
    }

    /// The pending sign-in, if it waits for `step`.
    ///
    /// # Errors
    /// `sign_in_expired`, `wrong_step`, `store_unavailable`.
    pub async fn pending_step(&self, key: &PendingKey, step: Next) -> Result<PendingSignIn, ApiError> {
        let item = self.get(key.pk()).await?;
        let pending = item.and_then(|item| PendingSignIn::decode(&item, clock::now()));
        match pending {
            Some(pending) if pending.step == step => Ok(pending),
            Some(pending) => Err(ApiError::new(Reason::WrongStep).next(pending.step)),
            None => Err(Reason::SignInExpired.into()),
        }
    }

    /// Forgets a pending sign-in, whose step was taken.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn end_step(&self, key: &PendingKey) -> Result<(), ApiError> {
        self.delete(Write::to(key.pk())).await.map(drop)
    }

    /// Notes challenges that were issued for a pending sign-in. WorkOS asks for them, so the person's factors are
    /// verified: none is the leftover of an enrollment.
    ///
    /// # Errors
    /// `sign_in_expired`, `store_unavailable`.
    pub async fn note_challenges(
        &self,
        key: &PendingKey,
        user_id: Option<&str>,
        challenges: Vec<String>,
    ) -> Result<(), ApiError> {
        let note = waiting(key, Next::ChallengeMfa).add("challenges", string_set(challenges));
        let forget = user_id.map(|user_id| Step::Delete(Write::to(enrolling_pk(user_id))));
        match self.transact([Step::Update(note)].into_iter().chain(forget)).await? {
            None => Ok(()),
            Some(_) => Err(Reason::SignInExpired.into()),
        }
    }

    /// Claims the enrollment of a person. Returns the last one.
    ///
    /// # Errors
    /// `enrollment_in_progress`, `store_unavailable`.
    pub async fn claim_enrollment(&self, user_id: &str) -> Result<Option<LastEnrollment>, ApiError> {
        let now = clock::now();
        // A retry recognizes its own claim, whose response was lost.
        let owner = URL_SAFE_NO_PAD.encode(random::bytes::<16>()?);
        let write = Write::to(enrolling_pk(user_id))
            // A claim that ends later than a correct clock could have written does not count.
            .only_if(
                "attribute_not_exists(lease_until) OR lease_until <= :now OR lease_until > :latest \
                 OR lease_owner = :lease_owner",
            )
            .bind("now", number(now))
            .bind("latest", number(now + 2 * CLAIM_SECONDS))
            .set("lease_owner", text(owner))
            .set("lease_until", number(now + CLAIM_SECONDS))
            .set("expires_at", number(now + STEP_SECONDS + LEEWAY))
            .returning(ReturnValue::AllOld);
        match self.update(write).await? {
            Written::Done(old) => Ok(old.and_then(|item| {
                let reader = Reader(&item);
                Some(LastEnrollment {
                    key: PendingKey(reader.optional_text("pending")?),
                    factor_id: reader.optional_text("factor_id")?,
                })
            })),
            Written::Refused(_) => Err(Reason::EnrollmentInProgress.into()),
        }
    }

    /// Gives the claim back.
    pub async fn release_enrollment(&self, user_id: &str) {
        let write = Write::to(enrolling_pk(user_id)).only_if("attribute_exists(pk)").remove("lease_until");
        if let Err(error) = self.update(write).await {
            tracing::warn!(cause = error.cause(), "the claim on an enrollment lasts until it expires");
        }
    }

    /// Takes the challenges of an enrollment back, so that its factor is never verified. `false` if it may have been:
    /// the pending sign-in has ended, or a code is being tried. A try whose outcome is unknown counts until WorkOS asks
    /// for an enrollment again, at `refused_at`.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn retire_enrollment(&self, last: &LastEnrollment, refused_at: u64) -> Result<bool, ApiError> {
        let write = Write::to(last.key.pk())
            .only_if(
                "attribute_exists(waits_for) AND \
                 (attribute_not_exists(in_flight) OR in_flight <= :none OR tried_at < :settled)",
            )
            .bind("none", number(0))
            .bind("settled", number(refused_at.saturating_sub(SETTLED_SECONDS)))
            .remove("challenges");
        Ok(self.update(write).await?.is_done())
    }

    /// Notes an enrollment and gives the claim back.
    ///
    /// # Errors
    /// `sign_in_expired`, `store_unavailable`.
    pub async fn note_enrollment(
        &self,
        key: &PendingKey,
        user_id: &str,
        factor_id: &str,
        challenge_id: &str,
    ) -> Result<(), ApiError> {
        let challenge =
            waiting(key, Next::EnrollMfa).set("challenges", string_set([challenge_id.to_owned()]));
        let last = Write::to(enrolling_pk(user_id))
            .set("pending", text(key.0.clone()))
            .set("factor_id", text(factor_id))
            .set("expires_at", number(clock::now() + STEP_SECONDS + LEEWAY))
            .remove("lease_until");
        match self.transact([Step::Update(challenge), Step::Update(last)]).await? {
            None => Ok(()),
            Some(_) => Err(Reason::SignInExpired.into()),
        }
    }
}

/// An update of a pending sign-in that waits for `step`.
fn waiting(key: &PendingKey, step: Next) -> Write {
    Write::to(key.pk())
        .only_if("expires_at > :now AND waits_for = :step")
        .bind("now", number(clock::now()))
        .bind("step", text(step.name()))
}

impl StepTry<'_> {
    /// Counts a try. The source comes first: above its limit, nothing is used up.
    ///
    /// # Errors
    /// `rate_limited`; `sign_in_expired`, `wrong_step`, `too_many_tries`, `challenge_not_issued`; `store_unavailable`.
    pub async fn admit(self, table: &Table) -> Result<StepTryGrant, ApiError> {
        let now = clock::now();
        let source = self.source.counter(self.client, now);
        match table.transact([Step::Update(source.count()), Step::Update(self.count(now))]).await? {
            None => Ok(StepTryGrant { key: self.key }),
            Some(refused) if refused.step == 0 => Err(source.refusal(now)),
            Some(refused) => Err(self.refusal(refused.item.as_ref(), now)),
        }
    }

    fn count(&self, now: u64) -> Write {
        let steps: Vec<_> = (0..self.steps.len()).map(|index| format!("waits_for = :step{index}")).collect();
        let mut condition = format!("expires_at > :now AND tries < :most AND ({})", steps.join(" OR "));
        let mut write = Write::to(self.key.pk())
            .add("tries", number(1))
            .bind("now", number(now))
            .bind("most", number(STEP_TRIES));
        for (index, step) in self.steps.iter().enumerate() {
            write = write.bind(&format!("step{index}"), text(step.name()));
        }
        if let Some(challenge) = self.challenge {
            condition.push_str(" AND contains(challenges, :challenge)");
            write = write
                .bind("challenge", text(challenge))
                .add("in_flight", number(1))
                .set("tried_at", number(now));
        }
        write.only_if(condition)
    }

    /// Why the try was refused.
    fn refusal(&self, item: Option<&Item>, now: u64) -> ApiError {
        let Some((item, pending)) = item.and_then(|item| Some((item, PendingSignIn::decode(item, now)?)))
        else {
            return Reason::SignInExpired.into();
        };
        if !self.steps.contains(&pending.step) {
            return ApiError::new(Reason::WrongStep).next(pending.step);
        }
        let tries = Reader(item).optional_number("tries").unwrap_or_default();
        if tries >= STEP_TRIES { Reason::TooManyTries.into() } else { Reason::ChallengeNotIssued.into() }
    }
}

impl StepTryGrant {
    /// The pending sign-in.
    pub fn key(&self) -> &PendingKey {
        &self.key
    }

    /// WorkOS refused the code.
    pub async fn was_wrong(&self, table: &Table) {
        self.take_back(table, &["in_flight"]).await;
    }

    /// WorkOS did not look at the code: takes back the whole try.
    pub async fn was_not_checked(&self, table: &Table) {
        self.take_back(table, &["in_flight", "tries"]).await;
    }

    async fn take_back(&self, table: &Table, counts: &[&str]) {
        let minus_one = || AttributeValue::N("-1".to_owned());
        let write = Write::to(self.key.pk()).only_if("attribute_exists(waits_for)");
        let write = counts.iter().fold(write, |write, count| write.add(count, minus_one()));
        if let Err(error) = table.update(write).await {
            tracing::warn!(cause = error.cause(), "a count was not taken back");
        }
    }
}

fn enrolling_pk(user_id: &str) -> String {
    format!("enrolling#{user_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rate;

    const NOW: u64 = 1_000;

    fn item(step: Next, expires_at: u64, tries: u64) -> Item {
        Item::from([
            ("waits_for".to_owned(), text(step.name())),
            ("refused_at".to_owned(), number(400)),
            ("expires_at".to_owned(), number(expires_at)),
            ("tries".to_owned(), number(tries)),
        ])
    }

    fn refusal(item: Option<&Item>) -> (Reason, Option<Next>) {
        let client = Client { ip: None, user_agent: None };
        let source = SourceLimit { scope: "verify-mfa", rate: Rate { max: 60, seconds: 600 } };
        let steps = [Next::EnrollMfa, Next::ChallengeMfa];
        let key = PendingKey::of("token");
        let tried = StepTry { source, client: &client, key, steps: &steps, challenge: Some("c") };
        let error = tried.refusal(item, NOW);
        (error.reason(), error.details().next)
    }

    #[test]
    fn a_refused_try_says_why() {
        assert_eq!(refusal(None), (Reason::SignInExpired, None));
        assert_eq!(refusal(Some(&item(Next::EnrollMfa, NOW, 0))), (Reason::SignInExpired, None));
        let other = item(Next::VerifyEmail, NOW + 1, 0);
        assert_eq!(refusal(Some(&other)), (Reason::WrongStep, Some(Next::VerifyEmail)));
        let spent = item(Next::ChallengeMfa, NOW + 1, STEP_TRIES);
        assert_eq!(refusal(Some(&spent)), (Reason::TooManyTries, None));
        let foreign = item(Next::ChallengeMfa, NOW + 1, STEP_TRIES - 1);
        assert_eq!(refusal(Some(&foreign)), (Reason::ChallengeNotIssued, None));
    }
}
