//! Codes by mail: who may ask for one, and who may try one.
//!
//! | `pk` | item |
//! |---|---|
//! | `device#<hash>` | a browser that signed in as an address before, for 90 days |
//! | `code#<hash>` | a browser that asked for a code for an address, for ten minutes |
//! | `limit#mail#<address>`, `limit#tries#<address>` | everybody else's budgets of an address |
//!
//! A browser's item counts its own budgets, so that strangers cannot use them up. The hash covers the browser's token
//! and the address: an item never counts for another address.
//!
//! The source is the first step of each transaction, and a refused transaction writes nothing: a source above its limit
//! cannot use up anybody's budget.

use api::{ApiError, Client, EmailAddress, clock};

use crate::attributes::{Item, Reader, number, text};
use crate::budget::{Budget, Use};
use crate::limit::{Counter, Rate, SourceLimit, refused};
use crate::table::Table;
use crate::write::{Refused, Step, Write, Written};

/// Lifetime of a `device#` item.
pub const DEVICE_SECONDS: u64 = 90 * 86_400;

/// Lifetime of a code, and of a `code#` item.
pub const PENDING_SECONDS: u64 = 600;

/// How far the clocks of two sandboxes may differ.
const LEEWAY: u64 = 150;

/// Mails to an address, and mails that a known device asks for.
const MAILS: Budget =
    Budget { name: "mail", rates: &[Rate { max: 3, seconds: 60 }, Rate { max: 10, seconds: 3_600 }] };

/// Tries of a known device.
const DEVICE_TRIES: Budget = Budget { name: "try", rates: &[Rate { max: 10, seconds: 600 }] };

/// Tries of a browser that asked for a code: five while its item lives.
const PENDING_TRIES: Budget =
    Budget { name: "try", rates: &[Rate { max: 5, seconds: PENDING_SECONDS + LEEWAY }] };

/// Tries of everybody else.
const SHARED_TRIES: Budget = Budget { name: "try", rates: &[Rate { max: 5, seconds: 600 }] };

/// Wrong codes for an address, except by known devices.
const WRONG_CODES: Rate = Rate { max: 100, seconds: 86_400 };
const WRONG_CODES_SCOPE: &str = "wrong-codes";

/// The hash of a browser's token and the address that the token was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserKey(pub String);

/// A request that asks for a code by mail.
#[derive(Debug)]
pub struct CodeRequest<'a> {
    /// The endpoint's limit per source.
    pub source: SourceLimit,
    /// The client.
    pub client: &'a Client,
    /// The address to mail to.
    pub email: &'a EmailAddress,
    /// The browser as a device, if it presents a token for this address. The token may be invented.
    pub device: Option<BrowserKey>,
    /// The browser as one that asked for a code: a new key.
    pub pending: BrowserKey,
}

/// Whether a request that was admitted may send mail.
#[derive(Debug)]
pub enum Mail {
    /// It may.
    Granted(MailGrant),
    /// The address has had enough mail. The last code stays valid.
    Withheld,
}

/// A mail that was counted.
#[derive(Debug)]
pub struct MailGrant(Use);

/// A request that tries a code.
#[derive(Debug)]
pub struct CodeTry<'a> {
    /// The endpoint's limit per source.
    pub source: SourceLimit,
    /// The client.
    pub client: &'a Client,
    /// The address that the code was sent to.
    pub email: &'a EmailAddress,
    /// The browser as a device, if it presents a token for this address. The token may be invented.
    pub device: Option<BrowserKey>,
    /// The browser as one that asked for a code, likewise.
    pub pending: Option<BrowserKey>,
}

/// A try that was counted.
#[derive(Debug)]
pub struct TryGrant {
    used: Use,
    /// The address's wrong codes of the day; `None` for a known device.
    wrong_codes: Option<Counter>,
}

/// The item whose budget pays for a request.
#[derive(Clone, Debug)]
enum Account {
    /// A browser's item, which counts only while it exists and has not expired.
    Browser(String),
    /// The address's own item.
    Address(String),
}

/// What follows from the refusal of a transaction.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// The source is above its limit.
    Source,
    /// The account has used up its budget, for this many seconds.
    Spent(u64),
    /// The account does not exist or has expired: another one pays.
    NoAccount,
    /// Another limit of the address is reached.
    Address,
}

impl CodeRequest<'_> {
    /// Counts the request and remembers the browser. Only the source can be refused: a request above the address's
    /// budget is admitted without mail, because a refusal would tell strangers about the person's sign-ins.
    ///
    /// # Errors
    /// `rate_limited` with the seconds until the window ends; `store_unavailable`.
    pub async fn admit(self, table: &Table) -> Result<Mail, ApiError> {
        let now = clock::now();
        let source = self.source.counter(self.client, now);
        let shared = Account::Address(format!("limit#mail#{}", self.email.hash()));
        let device = self.device.as_ref().map(Account::device);
        for account in device.into_iter().chain([shared]) {
            let steps = [
                Step::Update(source.count()),
                Step::Update(account.spend(MAILS, now)),
                Step::Put(self.remember(now)),
            ];
            let Some(refused) = table.transact(steps).await? else {
                return Ok(Mail::Granted(MailGrant(account.used(MAILS, now))));
            };
            match account.refusal(MAILS, &refused, now) {
                Refusal::NoAccount => {}
                Refusal::Spent(_) => break,
                Refusal::Source | Refusal::Address => return Err(source.refusal(now)),
            }
        }
        let steps = [Step::Update(source.count()), Step::Put(self.remember(now))];
        match table.transact(steps).await? {
            None => Ok(Mail::Withheld),
            Some(_) => Err(source.refusal(now)),
        }
    }

    fn remember(&self, now: u64) -> Write {
        let expires_at = number(now + PENDING_SECONDS + LEEWAY);
        Write::put(Item::from([
            ("pk".to_owned(), text(pending_pk(&self.pending))),
            ("expires_at".to_owned(), expires_at),
        ]))
    }
}

/// Counts a mail to an address against its budget, for a request whose source is counted already.
///
/// # Errors
/// `store_unavailable`.
pub async fn admit_mail(table: &Table, email: &EmailAddress) -> Result<Mail, ApiError> {
    let now = clock::now();
    let account = Account::Address(format!("limit#mail#{}", email.hash()));
    match table.update(account.spend(MAILS, now)).await? {
        Written::Done(_) => Ok(Mail::Granted(MailGrant(account.used(MAILS, now)))),
        Written::Refused(_) => Ok(Mail::Withheld),
    }
}

impl MailGrant {
    /// Takes the mail back, because none was sent.
    pub async fn give_back(self, table: &Table) {
        log_failure(self.0.give_back(table).await);
    }
}

impl CodeTry<'_> {
    /// Counts a try against the budget of the device, of the browser that asked for the code, or of everybody else.
    ///
    /// # Errors
    /// `rate_limited` with the seconds until a try is possible; `store_unavailable`.
    pub async fn admit(self, table: &Table) -> Result<TryGrant, ApiError> {
        let now = clock::now();
        let source = self.source.counter(self.client, now);
        let address = self.email.hash();
        let wrong_codes = Counter::new(WRONG_CODES_SCOPE, &address, WRONG_CODES, now);
        let device = self.device.as_ref().map(|key| (Account::device(key), DEVICE_TRIES));
        let pending = self.pending.as_ref().map(|key| (Account::Browser(pending_pk(key)), PENDING_TRIES));
        let mut payers = device.into_iter().chain(pending);
        loop {
            let (account, tries) = payers
                .next()
                .unwrap_or_else(|| (Account::Address(format!("limit#tries#{address}")), SHARED_TRIES));
            let counts_wrong_codes = !account.is_device();
            let mut steps = vec![Step::Update(source.count()), Step::Update(account.spend(tries, now))];
            if counts_wrong_codes {
                steps.push(Step::Update(wrong_codes.count()));
            }
            let Some(refusal) = table.transact(steps).await? else {
                let wrong_codes = counts_wrong_codes.then_some(wrong_codes);
                return Ok(TryGrant { used: account.used(tries, now), wrong_codes });
            };
            match account.refusal(tries, &refusal, now) {
                Refusal::NoAccount => {}
                Refusal::Source => return Err(source.refusal(now)),
                Refusal::Spent(seconds) => return Err(refused(self.source.scope, seconds)),
                Refusal::Address => return Err(wrong_codes.refusal(now)),
            }
        }
    }
}

impl TryGrant {
    /// Whether a known device paid for it.
    pub fn is_of_device(&self) -> bool {
        self.wrong_codes.is_none()
    }

    /// The code was not wrong: takes back what counts wrong codes.
    pub async fn was_right(&self, table: &Table) {
        if let Some(counter) = &self.wrong_codes {
            log_failure(table.update(counter.uncount()).await.map(drop));
        }
    }

    /// The code was not checked: takes back the whole try.
    pub async fn was_not_checked(&self, table: &Table) {
        let ((), used) = tokio::join!(self.was_right(table), self.used.give_back(table));
        log_failure(used);
    }
}

impl Table {
    /// Remembers a browser that signed in as an address, for [`DEVICE_SECONDS`] from now.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn remember_device(&self, key: &BrowserKey) -> Result<(), ApiError> {
        let expires_at = number(clock::now() + DEVICE_SECONDS);
        self.update(Write::to(device_pk(key)).set("expires_at", expires_at)).await.map(drop)
    }
}

impl Account {
    fn device(key: &BrowserKey) -> Self {
        Self::Browser(device_pk(key))
    }

    fn is_device(&self) -> bool {
        matches!(self, Self::Browser(pk) if pk.starts_with(DEVICE))
    }

    fn spend(&self, budget: Budget, now: u64) -> Write {
        match self {
            Self::Browser(pk) => {
                let write = Write::to(pk.clone()).bind("now", number(now));
                budget.spend(write, now, Some("expires_at > :now"))
            }
            Self::Address(pk) => {
                let longest = budget.rates.iter().map(|rate| rate.seconds).max().unwrap_or_default();
                let write = Write::to(pk.clone()).set("expires_at", number(now + longest));
                budget.spend(write, now, None)
            }
        }
    }

    fn used(self, budget: Budget, at: u64) -> Use {
        let (Self::Browser(pk) | Self::Address(pk)) = self;
        Use { budget, pk, at }
    }

    /// Decides what the refusal of the steps source, account, further limits means.
    fn refusal(&self, budget: Budget, refused: &Refused, now: u64) -> Refusal {
        match (refused.step, &refused.item) {
            (0, _) => Refusal::Source,
            (1, Some(item)) if self.is_live(item, now) => Refusal::Spent(budget.wait(item, now).unwrap_or(1)),
            (1, _) => Refusal::NoAccount,
            _ => Refusal::Address,
        }
    }

    fn is_live(&self, item: &Item, now: u64) -> bool {
        match self {
            Self::Browser(_) => Reader(item).optional_number("expires_at").is_some_and(|at| at > now),
            Self::Address(_) => true,
        }
    }
}

const DEVICE: &str = "device#";

fn device_pk(key: &BrowserKey) -> String {
    format!("{DEVICE}{}", key.0)
}

fn pending_pk(key: &BrowserKey) -> String {
    format!("code#{}", key.0)
}

/// The count is then too high until its window ends.
fn log_failure(result: Result<(), ApiError>) {
    if let Err(error) = result {
        tracing::warn!(cause = error.cause(), "a count was not taken back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(account: &Account, step: usize, item: Option<Item>) -> Refusal {
        account.refusal(SHARED_TRIES, &Refused { step, item }, 1_000)
    }

    fn item(attributes: &[(&str, u64)]) -> Option<Item> {
        Some(attributes.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect())
    }

    #[test]
    fn only_a_live_item_of_the_browser_pays() {
        let browser = Account::device(&BrowserKey("a".into()));
        assert_eq!(refusal(&browser, 1, None), Refusal::NoAccount);
        assert_eq!(refusal(&browser, 1, item(&[("expires_at", 1_000)])), Refusal::NoAccount);
        let spent = item(&[("expires_at", 1_001), ("try_4", 500)]);
        assert_eq!(refusal(&browser, 1, spent), Refusal::Spent(100));
    }

    #[test]
    fn the_address_always_pays_for_everybody_else() {
        let address = Account::Address("limit#tries#a".into());
        assert_eq!(refusal(&address, 1, item(&[("expires_at", 1), ("try_4", 401)])), Refusal::Spent(1));
        assert_eq!(refusal(&address, 2, item(&[("requests", 100)])), Refusal::Address);
        assert_eq!(refusal(&address, 0, item(&[("requests", 60)])), Refusal::Source);
    }
}
