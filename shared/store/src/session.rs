//! Session items.
//!
//! The key is the SHA-256 of the session token, and the WorkOS refresh token is encrypted under a key derived from the
//! session token (see `shared/session`): an item alone is of no use to an attacker.

use std::fmt;

use api::{ApiError, Impersonator, Reason};
use aws_sdk_dynamodb::types::ReturnValue;

use crate::attributes::{Item, Reader, bytes, number, strings, text};
use crate::ended::not_revoked;
use crate::table::Table;
use crate::write::{Refused, Step, Write, Written};

/// What the `pk` of a session begins with.
pub(crate) const SESSION_PREFIX: &str = "session#";

/// The length of a key: SHA-256 in base64url.
const KEY_CHARS: usize = 43;

/// Longer than any session, in seconds: how long DynamoDB keeps what refers to one.
pub(crate) const LONGEST_SESSION: u64 = 400 * 24 * 60 * 60;

/// The key of the session that a sign-in began. A switch keeps it, so clients know the session by it. It is the hash of a
/// token: it gives no access.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub String);

impl SessionId {
    /// Parses what a client sends. `None` if it cannot be an id.
    pub fn parse(text: &str) -> Option<Self> {
        let is_key = text.len() == KEY_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_key.then(|| Self(text.to_owned()))
    }

    /// The key that the session had before its first switch.
    pub fn first_key(&self) -> SessionKey {
        SessionKey(self.0.clone())
    }

    /// The `pk` of the item that names the session's key after a switch.
    pub(crate) fn switched_pk(&self) -> String {
        format!("switched#{}", self.0)
    }
}

/// The hash of a session token, which is the key of its item.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionKey(pub String);

impl SessionKey {
    /// The item's `pk`.
    pub fn pk(&self) -> String {
        format!("{SESSION_PREFIX}{}", self.0)
    }

    /// Its first characters, which identify the session in logs: 48 bits of a hash.
    pub fn prefix(&self) -> String {
        self.0.chars().take(8).collect()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([redacted])")
    }
}

/// A stored session. Times are in seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionItem {
    /// How clients know the session.
    pub id: SessionId,
    /// WorkOS user id.
    pub user_id: String,
    /// Email address.
    pub email: String,
    /// WorkOS session id (`sid`).
    pub workos_session_id: String,
    /// Current organization.
    pub organization_id: Option<String>,
    /// Role in the organization.
    pub role: Option<String>,
    /// Permissions in the organization.
    pub permissions: Vec<String>,
    /// When the access token, the source of these claims, was issued, by WorkOS' clock; 0 if unknown.
    pub claims_issued_at: u64,
    /// When it expires.
    pub access_expires_at: u64,
    /// Claims issued by this time, on WorkOS' clock, are out of date: the next request refreshes them.
    pub claims_stale_at: Option<u64>,
    /// The person's name and picture.
    pub profile: Profile,
    /// The name of the current organization; `None` if it could not be looked up.
    pub organization_name: Option<String>,
    /// How the person signed in, such as `magic_auth` or `sso`.
    pub method: Option<String>,
    /// The encrypted WorkOS refresh token.
    pub sealed_refresh_token: Vec<u8>,
    /// Number of refreshes. A write based on an older generation is refused.
    pub generation: u64,
    /// Who may refresh it. A new session has none.
    pub refresh: RefreshState,
    /// When the session was created.
    pub created_at: u64,
    /// When the person last proved who they are. A switch and a refresh do not change it.
    pub authenticated_at: u64,
    /// The address that the session was begun from.
    pub ip_address: Option<String>,
    /// The header `User-Agent` of the sign-in.
    pub user_agent: Option<String>,
    /// When it was last used, to within 1/20 of the idle lifetime.
    pub last_seen_at: u64,
    /// When DynamoDB may remove it.
    pub expires_at: u64,
    /// The session that took its place in a switch.
    pub replaced_by: Option<Link>,
    /// The session whose place it took in a switch.
    pub replaces: Option<Link>,
    /// Who acts as the person. No refresh writes it, so none can remove it.
    pub impersonator: Option<Impersonator>,
}

/// A person's name and picture, as far as WorkOS knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The URL of a picture.
    pub avatar_url: Option<String>,
}

/// A link between two sessions, made by a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other session.
    pub key: SessionKey,
    /// When the switch happened.
    pub at: u64,
}

/// The outcome of [`Table::end_session`].
#[derive(Debug)]
pub enum Ended {
    /// It is gone: this session, or none if it was gone already.
    Gone(Option<Box<SessionItem>>),
    /// It is still there, because it is linked to sessions that the caller does not know.
    Linked(Box<SessionItem>),
}

/// The changes of a refresh.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The new refresh token, encrypted.
    pub sealed_refresh_token: Vec<u8>,
    /// The new access token.
    pub access: RenewedAccess,
}

/// The access token of a refresh.
#[derive(Clone, Debug)]
pub enum RenewedAccess {
    /// Verified: its claims replace the stored ones.
    Verified(RenewedClaims),
    /// Not verified, because the keys were unavailable: the stored claims stay.
    Unverified {
        /// Earliest time of the next refresh.
        retry_at: u64,
    },
}

/// Who may refresh a session. See `shared/session`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshState {
    /// The request that holds the lease.
    pub owner: Option<String>,
    /// When the lease ends.
    pub lease_until: Option<u64>,
    /// When the pause after transient trouble ends.
    pub pause_until: Option<u64>,
}

/// The claims of a new access token.
#[derive(Clone, Debug)]
pub struct RenewedClaims {
    /// Email address.
    pub email: String,
    /// Current organization.
    pub organization_id: Option<String>,
    /// Role in the organization.
    pub role: Option<String>,
    /// Permissions in the organization.
    pub permissions: Vec<String>,
    /// When the access token was issued, by WorkOS' clock.
    pub claims_issued_at: u64,
    /// When it expires.
    pub access_expires_at: u64,
    /// The person's name and picture.
    pub profile: Profile,
    /// The name of the current organization.
    pub organization_name: Option<String>,
}

impl Table {
    /// Reads a session, strongly consistent: a sign-out takes effect at once.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if the item is corrupt.
    pub async fn session(&self, key: &SessionKey) -> Result<Option<SessionItem>, ApiError> {
        self.get(key.pk()).await?.as_ref().map(decode).transpose()
    }

    /// Ends a session unless it is linked to one that is not in `known`. Ending it twice is not an error.
    ///
    /// The condition makes the links survive a lost response: they are read before the session is gone.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn end_session(&self, key: &SessionKey, known: &[SessionKey]) -> Result<Ended, ApiError> {
        let item = |item: Option<Item>| item.as_ref().map(decode).transpose();
        Ok(match self.delete(end(key, known).returning(ReturnValue::AllOld)).await? {
            Written::Done(old) => Ended::Gone(item(old)?.map(Box::new)),
            Written::Refused(found) => match item(found)? {
                Some(session) => Ended::Linked(Box::new(session)),
                None => Ended::Gone(None),
            },
        })
    }

    /// Stores a new session and ends the `old` ones, in one transaction. If one of them is linked to a session that is not
    /// in `known`, nothing is written and the linked one is returned.
    ///
    /// # Errors
    /// `sign_in_interrupted` if WorkOS has revoked the session meanwhile; `store_unavailable`.
    pub async fn begin_session(
        &self,
        key: &SessionKey,
        session: &SessionItem,
        old: &[SessionKey],
        known: &[SessionKey],
    ) -> Result<Option<SessionItem>, ApiError> {
        // Its key is the hash of 32 random bytes, which no other session has.
        let put = Step::Put(Write::put(encode(key, session)));
        let check = Step::Check(not_revoked(&session.workos_session_id));
        let steps = old.iter().map(|each| Step::Delete(end(each, known)));
        match self.transact([put, check].into_iter().chain(steps)).await? {
            None => Ok(None),
            Some(Refused { step: 1, .. }) => {
                Err(ApiError::new(Reason::SignInInterrupted).because("WorkOS has revoked the session"))
            }
            Some(Refused { item: Some(item), .. }) => decode(&item).map(Some),
            Some(Refused { item: None, .. }) => {
                Err(ApiError::new(Reason::Internal).because("a session was refused without an item"))
            }
        }
    }

    /// Deletes a session unless it was renewed after `generation`. Returns whether it is gone.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn delete_session_of(&self, key: &SessionKey, generation: u64) -> Result<bool, ApiError> {
        let delete = Write::to(key.pk())
            .only_if("attribute_not_exists(pk) OR generation = :generation")
            .bind("generation", number(generation));
        Ok(self.delete(delete).await?.is_done())
    }

    /// Records that a session was used, unless it has been deleted or replaced.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn touch_session(
        &self,
        key: &SessionKey,
        last_seen_at: u64,
        expires_at: u64,
    ) -> Result<(), ApiError> {
        let touch = Write::to(key.pk())
            .only_if("attribute_exists(pk) AND attribute_not_exists(replaced_by)")
            .set("last_seen_at", number(last_seen_at))
            .set("expires_at", number(expires_at));
        self.update(touch).await.map(drop)
    }

    /// Gives `owner` the lease to refresh the session until `lease_until`, if nobody has renewed, leased or paused it since
    /// `session` was read: of all callers that read the same, one gets it. Returns whether `owner` has it.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn claim_refresh(
        &self,
        key: &SessionKey,
        session: &SessionItem,
        owner: &str,
        lease_until: u64,
    ) -> Result<bool, ApiError> {
        let RefreshState { owner: seen_owner, pause_until, .. } = &session.refresh;
        let claim = Write::to(key.pk())
            .only_if("generation = :generation")
            .bind("generation", number(session.generation))
            .and_if_unchanged("refresh_pause", pause_until.map(number))
            .and_if_unchanged("refresh_owner", seen_owner.as_ref().map(text))
            .set("refresh_owner", text(owner))
            .set("refresh_lease", number(lease_until));
        match self.update(claim).await? {
            Written::Done(_) => Ok(true),
            // The SDK repeats a write whose response was lost; the condition then fails on our own lease.
            Written::Refused(item) => {
                let holder = item.and_then(|item| Reader(&item).optional_text("refresh_owner"));
                Ok(holder.as_deref() == Some(owner))
            }
        }
    }

    /// Gives up the lease: the next request may refresh from `pause_until` on.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn release_refresh(
        &self,
        key: &SessionKey,
        owner: &str,
        pause_until: u64,
    ) -> Result<(), ApiError> {
        let release = Write::to(key.pk())
            .only_if("refresh_owner = :owner")
            .bind("owner", text(owner))
            .set("refresh_pause", number(pause_until))
            .remove("refresh_owner")
            .remove("refresh_lease");
        self.update(release).await.map(drop)
    }

    /// Stores the result of a refresh and ends the lease. Returns whether it was stored: not if the session was deleted
    /// or renewed in the meantime.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn renew_session(
        &self,
        key: &SessionKey,
        generation: u64,
        renewal: Renewal,
    ) -> Result<bool, ApiError> {
        let sealed_refresh_token = bytes(renewal.sealed_refresh_token);
        let renew = Write::to(key.pk())
            .only_if("generation = :current")
            .bind("current", number(generation))
            .set("generation", number(generation + 1))
            .set("sealed_refresh_token", sealed_refresh_token.clone())
            .remove("refresh_owner")
            .remove("refresh_lease");
        let renew = match renewal.access {
            RenewedAccess::Unverified { retry_at } => renew.set("refresh_pause", number(retry_at)),
            RenewedAccess::Verified(claims) => renew
                .set("email", text(claims.email))
                .set("claims_issued_at", number(claims.claims_issued_at))
                .set("access_expires_at", number(claims.access_expires_at))
                .set("permissions", strings(&claims.permissions))
                .set_or_remove("organization_id", claims.organization_id.map(text))
                .set_or_remove("role", claims.role.map(text))
                .set_or_remove("organization_name", claims.organization_name.map(text))
                .set_or_remove("first_name", claims.profile.first_name.map(text))
                .set_or_remove("last_name", claims.profile.last_name.map(text))
                .set_or_remove("avatar_url", claims.profile.avatar_url.map(text))
                .remove("refresh_pause"),
        };
        Ok(match self.update(renew).await? {
            Written::Done(_) => true,
            // A repeated write fails on its own result. No two seals are equal.
            Written::Refused(item) => {
                item.is_some_and(|item| item.get("sealed_refresh_token") == Some(&sealed_refresh_token))
            }
        })
    }

    /// Atomically replaces the old session with a new one, in a switch: only if the old one still exists and was not
    /// renewed since `generation`. The old one stays until `readable_until`, without its refresh token, and no longer
    /// counts among the person's sessions. Returns whether it was replaced.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn replace_session(
        &self,
        old: &SessionKey,
        generation: u64,
        readable_until: u64,
        new: (&SessionKey, &SessionItem),
    ) -> Result<bool, ApiError> {
        let (key, session) = new;
        let switched = Write::to(session.id.switched_pk())
            .set("current", text(&key.0))
            .set("expires_at", number(session.created_at.saturating_add(LONGEST_SESSION)));
        let retire = Write::to(old.pk())
            .only_if("generation = :current")
            .bind("current", number(generation))
            // The holder of a lease on the old generation can no longer store anything.
            .set("generation", number(generation + 1))
            .set("replaced_by", text(&key.0))
            .set("replaced_at", number(session.last_seen_at))
            .set("expires_at", number(readable_until))
            // Out of the index of the person's sessions.
            .set("former_user_id", text(&session.user_id))
            .remove("user_id")
            .remove("sealed_refresh_token")
            .remove("refresh_owner")
            .remove("refresh_lease");
        let put = Write::put(encode(key, session));
        Ok(self.transact([Step::Put(put), Step::Update(retire), Step::Update(switched)]).await?.is_none())
    }
}

/// Deletes a session unless it is linked to one that is not in `known`.
fn end(key: &SessionKey, known: &[SessionKey]) -> Write {
    let names: Vec<_> = (0..known.len()).map(|index| format!(":known{index}")).collect();
    let names = names.join(", ");
    let condition = ["replaced_by", "replaces"]
        .map(|link| format!("(attribute_not_exists({link}) OR {link} IN ({names}))"))
        .join(" AND ");
    let delete = Write::to(key.pk()).only_if(condition);
    known
        .iter()
        .enumerate()
        .fold(delete, |delete, (index, key)| delete.bind(&format!("known{index}"), text(&key.0)))
}

pub(crate) fn decode(item: &Item) -> Result<SessionItem, ApiError> {
    let item = Reader(item);
    let created_at = item.number("created_at")?;
    // Items of earlier releases lack whatever has a default here.
    let first_key = || item.text("pk").map(|pk| pk.trim_start_matches(SESSION_PREFIX).to_owned());
    Ok(SessionItem {
        id: SessionId(item.optional_text("session_id").map_or_else(first_key, Ok)?),
        user_id: item.text("user_id").or_else(|_| item.text("former_user_id"))?,
        email: item.text("email")?,
        workos_session_id: item.text("workos_session_id")?,
        organization_id: item.optional_text("organization_id"),
        role: item.optional_text("role"),
        permissions: item.strings("permissions"),
        claims_issued_at: item.optional_number("claims_issued_at").unwrap_or_default(),
        access_expires_at: item.number("access_expires_at")?,
        claims_stale_at: item.optional_number("claims_stale_at"),
        profile: Profile {
            first_name: item.optional_text("first_name"),
            last_name: item.optional_text("last_name"),
            avatar_url: item.optional_text("avatar_url"),
        },
        organization_name: item.optional_text("organization_name"),
        method: item.optional_text("method"),
        // A replaced session has none.
        sealed_refresh_token: item.optional_bytes("sealed_refresh_token").unwrap_or_default(),
        generation: item.number("generation")?,
        refresh: RefreshState {
            owner: item.optional_text("refresh_owner"),
            lease_until: item.optional_number("refresh_lease"),
            pause_until: item.optional_number("refresh_pause"),
        },
        created_at,
        authenticated_at: item.optional_number("authenticated_at").unwrap_or(created_at),
        ip_address: item.optional_text("ip_address"),
        user_agent: item.optional_text("user_agent"),
        last_seen_at: item.number("last_seen_at")?,
        expires_at: item.number("expires_at")?,
        replaced_by: link(&item, "replaced_by", "replaced_at"),
        replaces: link(&item, "replaces", "replaces_at"),
        impersonator: item
            .optional_text("impersonator")
            .map(|email| Impersonator { email, reason: item.optional_text("impersonation_reason") }),
    })
}

fn link(item: &Reader<'_>, key: &str, at: &str) -> Option<Link> {
    Some(Link { key: SessionKey(item.optional_text(key)?), at: item.optional_number(at)? })
}

fn encode(key: &SessionKey, session: &SessionItem) -> Item {
    let impersonator = session.impersonator.as_ref();
    let optional = [
        ("organization_id", session.organization_id.as_ref()),
        ("organization_name", session.organization_name.as_ref()),
        ("role", session.role.as_ref()),
        ("method", session.method.as_ref()),
        ("first_name", session.profile.first_name.as_ref()),
        ("last_name", session.profile.last_name.as_ref()),
        ("avatar_url", session.profile.avatar_url.as_ref()),
        ("ip_address", session.ip_address.as_ref()),
        ("user_agent", session.user_agent.as_ref()),
        ("impersonator", impersonator.map(|person| &person.email)),
        ("impersonation_reason", impersonator.and_then(|person| person.reason.as_ref())),
    ];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, text(value?))));
    let links = [
        ("replaced_by", "replaced_at", &session.replaced_by),
        ("replaces", "replaces_at", &session.replaces),
    ];
    let links = links.into_iter().filter_map(|(key, at, link)| Some((key, at, link.as_ref()?)));
    let links = links.flat_map(|(key, at, link)| [(key, text(&link.key.0)), (at, number(link.at))]);
    let required = [
        ("pk", text(key.pk())),
        ("session_id", text(&session.id.0)),
        ("user_id", text(&session.user_id)),
        ("email", text(&session.email)),
        ("workos_session_id", text(&session.workos_session_id)),
        ("permissions", strings(&session.permissions)),
        ("claims_issued_at", number(session.claims_issued_at)),
        ("access_expires_at", number(session.access_expires_at)),
        ("sealed_refresh_token", bytes(session.sealed_refresh_token.as_slice())),
        ("generation", number(session.generation)),
        ("created_at", number(session.created_at)),
        ("authenticated_at", number(session.authenticated_at)),
        ("last_seen_at", number(session.last_seen_at)),
        ("expires_at", number(session.expires_at)),
    ];
    required.into_iter().chain(optional).chain(links).map(|(name, value)| (name.to_owned(), value)).collect()
}
