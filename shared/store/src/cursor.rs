//! How far WorkOS' events have been read.

use api::ApiError;

use crate::attributes::{Reader, number, text};
use crate::table::Table;
use crate::write::{Write, Written};

const PK: &str = "cursor#workos";

/// The last event that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its id.
    pub event_id: String,
    /// When it happened, in seconds since the Unix epoch by WorkOS' clock.
    pub at: u64,
}

impl Table {
    /// The cursor; `None` before the first event.
    ///
    /// # Errors
    /// `store_unavailable`; `internal` if the item is corrupt.
    pub async fn cursor(&self) -> Result<Option<Cursor>, ApiError> {
        let Some(item) = self.get(PK.to_owned()).await? else { return Ok(None) };
        let item = Reader(&item);
        Ok(Some(Cursor { event_id: item.text("event_id")?, at: item.number("event_at")? }))
    }

    /// Moves the cursor unless another reader has moved it since it was `seen`. Returns whether it is where it should be.
    /// So it never goes back: each reader moves it forward from where it is.
    ///
    /// # Errors
    /// `store_unavailable`.
    pub async fn move_cursor(&self, seen: Option<&Cursor>, to: &Cursor) -> Result<bool, ApiError> {
        let write = Write::to(PK.to_owned())
            .and_if_unchanged("event_id", seen.map(|cursor| text(&cursor.event_id)))
            .set("event_id", text(&to.event_id))
            .set("event_at", number(to.at));
        Ok(match self.update(write).await? {
            Written::Done(_) => true,
            // The SDK repeats a write whose response was lost; the condition then fails on our own cursor.
            Written::Refused(item) => {
                item.and_then(|item| Reader(&item).optional_text("event_id")).as_ref() == Some(&to.event_id)
            }
        })
    }
}
