//! What a person does between two grants: verify the address, enroll an authenticator app, get a challenge.

use api::{ApiError, Reason, Secret};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded::byte_serialize;
use workos_sdk::models::{ChallengeAuthenticationFactor, EnrollUserAuthenticationFactor};
use workos_sdk::multi_factor_auth::{ChallengeFactorParams, CreateUserAuthFactorParams};

use crate::error::{CallError, ErrorKind};
use crate::{WorkOs, lookup};

/// A factor, as WorkOS lists it. The list does not tell whether a code of the factor was ever accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// The id.
    pub id: String,
    /// When it was created, in seconds since the Unix epoch; `None` if WorkOS does not tell.
    pub created_at: Option<u64>,
}

/// A new authenticator app, with its first challenge. WorkOS shows the secrets only now.
#[derive(Debug)]
pub struct Enrollment {
    /// The factor's id.
    pub factor_id: String,
    /// The id of the challenge that completes the enrollment.
    pub challenge_id: String,
    /// A picture of the URI, as a data URL.
    pub qr_code: Secret,
    /// The secret, in Base32.
    pub secret: Secret,
    /// The `otpauth:` URI.
    pub uri: Secret,
}

impl WorkOs {
    /// The user whose address a mailed code verifies; `None` if WorkOS does not know the code. WorkOS returns the code as
    /// well, which is not even decoded.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn user_of_verification(&self, id: &str) -> Result<Option<String>, ApiError> {
        #[derive(Deserialize)]
        struct Verification {
            user_id: String,
        }
        let target = format!("/user_management/email_verification/{}", segment(id));
        match lookup::get::<Verification>(&self.sdk, &target).await {
            Ok(found) => Ok(Some(found.user_id)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into_outage()),
        }
    }

    /// Mails another code that verifies the user's address. It is fine if the address is verified already, and if WorkOS
    /// has sent the address enough mail: the last code stays valid.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn send_verification(&self, user_id: &str) -> Result<(), ApiError> {
        match self.sdk.user_management().send_verification_email(user_id).await {
            // A 2xx response that fails to decode still sent the mail.
            Ok(_) | Err(workos_sdk::Error::Decode(_)) => Ok(()),
            Err(error) => match CallError::from(error) {
                error
                    if error.is_rate_limited()
                        || matches!(error.kind, ErrorKind::AlreadyVerified | ErrorKind::NotFound) =>
                {
                    let error = error.into_outage();
                    tracing::info!(cause = error.cause(), "no code was sent");
                    Ok(())
                }
                error => Err(error.into_outage()),
            },
        }
    }

    /// The user's factors of all types.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn factors(&self, user_id: &str) -> Result<Vec<Factor>, ApiError> {
        #[derive(Deserialize)]
        struct Listed {
            id: String,
            created_at: Option<String>,
        }
        let path = format!("/user_management/users/{}/auth_factors", segment(user_id));
        let listed = lookup::list::<Listed>(&self.sdk, &path, &[("limit", "100")]).await;
        let factor = |Listed { id, created_at }| Factor { id, created_at: created_at.and_then(seconds) };
        Ok(listed.map_err(CallError::into_outage)?.into_iter().map(factor).collect())
    }

    /// Adds an authenticator app to a user. Whether that is allowed is the caller's business: WorkOS does it for anybody.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`. The app may have been added, unless WorkOS was busy.
    pub async fn enroll_app(&self, user_id: &str) -> Result<Enrollment, ApiError> {
        let body = EnrollUserAuthenticationFactor {
            type_: "totp".to_owned(),
            totp_issuer: None,
            totp_user: None,
            totp_secret: None,
        };
        let factors = self.sdk.multi_factor_auth();
        let created = factors.create_user_auth_factor(user_id, CreateUserAuthFactorParams::new(body)).await;
        let created = created.map_err(|error| CallError::from(error).into_outage())?;
        let totp = created.authentication_factor.totp.ok_or_else(|| {
            ApiError::new(Reason::WorkosUnavailable).because("WorkOS created a factor without a secret")
        })?;
        Ok(Enrollment {
            factor_id: created.authentication_factor.id,
            challenge_id: created.authentication_challenge.id,
            qr_code: Secret::new(totp.qr_code.into_inner()),
            secret: Secret::new(totp.secret.into_inner()),
            uri: Secret::new(totp.uri.into_inner()),
        })
    }

    /// Deletes a factor. Deleting it twice is not an error.
    ///
    /// # Errors
    /// `workos_busy`, `workos_unavailable`.
    pub async fn delete_factor(&self, id: &str) -> Result<(), ApiError> {
        match self.sdk.multi_factor_auth().delete_factor(id).await.map_err(CallError::from) {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error.into_outage()),
            _ => Ok(()),
        }
    }

    /// Creates a challenge for an authenticator app and returns its id.
    ///
    /// # Errors
    /// `sign_in_expired` if the factor is gone; `workos_busy`, `workos_unavailable`.
    pub async fn challenge(&self, factor_id: &str) -> Result<String, ApiError> {
        let params = ChallengeFactorParams::new(ChallengeAuthenticationFactor { sms_template: None });
        match self.sdk.multi_factor_auth().challenge_factor(factor_id, params).await.map_err(CallError::from)
        {
            Ok(challenge) => Ok(challenge.id),
            Err(error) if error.kind == ErrorKind::NotFound => {
                Err(error.into_api_error_as(Reason::SignInExpired))
            }
            Err(error) => Err(error.into_outage()),
        }
    }
}

fn seconds(text: String) -> Option<u64> {
    let time = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

/// An id as a segment of a path.
fn segment(id: &str) -> String {
    byte_serialize(id.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_second() {
        assert_eq!(seconds("2026-01-15T12:00:00.000Z".to_owned()), Some(1_768_478_400));
        assert_eq!(seconds("yesterday".to_owned()), None);
    }
}
