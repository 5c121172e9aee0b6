//! Budgets over a sliding window: at most `max` uses in any `seconds`, not only in windows that begin at fixed times.
//!
//! An item keeps the times of its last uses, newest first, in the attributes `<name>_0`, `<name>_1` and so on. A use
//! shifts them by one. It is allowed if the use `max` places back is old enough, which one condition can express.

use api::ApiError;

use crate::attributes::{Item, Reader, number};
use crate::limit::Rate;
use crate::table::Table;
use crate::write::Write;

/// A budget of uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// The attributes' prefix.
    pub(crate) name: &'static str,
    /// Each must hold.
    pub(crate) rates: &'static [Rate],
}

/// A use that was allowed.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) budget: Budget,
    pub(crate) pk: String,
    pub(crate) at: u64,
}

impl Budget {
    /// Records a use at `now` if the budget allows it and `also` holds.
    pub(crate) fn spend(self, write: Write, now: u64, also: Option<&str>) -> Write {
        let mut conditions: Vec<_> = also.into_iter().map(str::to_owned).collect();
        let mut write = write.set(&self.slot(0), number(now)).bind("none", number(0));
        for Rate { max, seconds } in self.rates {
            let oldest = self.slot(max - 1);
            conditions.push(format!("(attribute_not_exists({oldest}) OR {oldest} <= :before_{seconds})"));
            write = write.bind(&format!("before_{seconds}"), number(now.saturating_sub(*seconds)));
        }
        for slot in 1..self.slots() {
            write = write.set_from(&self.slot(slot), &self.slot(slot - 1), ":none");
        }
        write.only_if(conditions.join(" AND "))
    }

    /// The seconds until an item's budget allows another use; `None` if it does now.
    pub(crate) fn wait(self, item: &Item, now: u64) -> Option<u64> {
        let waits = self.rates.iter().filter_map(|rate| {
            let oldest = Reader(item).optional_number(&self.slot(rate.max - 1))?;
            (oldest + rate.seconds).checked_sub(now).filter(|wait| *wait > 0)
        });
        waits.max()
    }

    fn slot(self, index: u64) -> String {
        format!("{}_{index}", self.name)
    }

    fn slots(self) -> u64 {
        self.rates.iter().map(|rate| rate.max).max().unwrap_or_default()
    }
}

impl Use {
    /// Takes the use back, unless a later one was recorded meanwhile.
    pub(crate) async fn give_back(&self, table: &Table) -> Result<(), ApiError> {
        let (budget, newest) = (self.budget, self.budget.slot(0));
        let mut write = Write::to(self.pk.clone())
            .only_if(format!("{newest} = :used"))
            .bind("used", number(self.at))
            .bind("none", number(0))
            .set(&budget.slot(budget.slots() - 1), number(0));
        for slot in 1..budget.slots() {
            write = write.set_from(&budget.slot(slot - 1), &budget.slot(slot), ":none");
        }
        table.update(write).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAILS: Budget =
        Budget { name: "mail", rates: &[Rate { max: 2, seconds: 60 }, Rate { max: 3, seconds: 3600 }] };

    fn item(times: &[u64]) -> Item {
        times.iter().enumerate().map(|(slot, at)| (format!("mail_{slot}"), number(*at))).collect()
    }

    #[test]
    fn the_wait_is_that_of_the_strictest_rate() {
        assert_eq!(MAILS.wait(&item(&[]), 10_000), None);
        assert_eq!(MAILS.wait(&item(&[10_000]), 10_000), None);
        assert_eq!(MAILS.wait(&item(&[10_000, 9_950]), 10_000), Some(10));
        assert_eq!(MAILS.wait(&item(&[10_000, 9_940]), 10_000), None);
        assert_eq!(MAILS.wait(&item(&[10_000, 9_950, 9_900]), 10_000), Some(3_500));
        assert_eq!(MAILS.wait(&item(&[10_000, 0, 0]), 10_000), None);
    }
}
