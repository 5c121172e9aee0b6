//! How many recordings a user may run at the same time.

use api::{ConfigError, Env, Variable};
use store::recording::{Phase, RoomItem, Slot};

/// The number of recordings per user.
pub static RECORDINGS_PER_CALLER: Variable = Variable::or(
    "RECORDINGS_PER_CALLER",
    "3",
    "How many recordings started by one user may run at the same time.",
);

/// An unconfirmed claim keeps its slot for this time: its egress may still appear. It includes two and a half minutes
/// for the clocks of other machines.
const CLAIM_SECONDS: u64 = 160;

/// Reads `RECORDINGS_PER_CALLER`.
pub(crate) fn per_caller(env: &Env) -> Result<u64, ConfigError> {
    match env.parsed(&RECORDINGS_PER_CALLER)? {
        0 => Err(ConfigError::new(&RECORDINGS_PER_CALLER, "must be at least 1")),
        limit => Ok(limit),
    }
}

/// The slots of a user that no recording holds any more. `rooms` are the items of their rooms, in the same order.
///
/// A slot outlives its recording if the write that gives it back fails, or the function dies before.
pub fn leaked(user_id: &str, slots: &[Slot], rooms: &[Option<RoomItem>], now: u64) -> Vec<Slot> {
    let is_held = |slot: &Slot, item: &RoomItem| {
        item.claim.started_by == user_id
            && Slot::of(&item.claim) == *slot
            && match item.phase {
                Phase::Recording { .. } => true,
                Phase::Starting { .. } => now < slot.started_at.saturating_add(CLAIM_SECONDS),
            }
    };
    let leaked =
        slots.iter().zip(rooms).filter(|(slot, room)| !room.as_ref().is_some_and(|item| is_held(slot, item)));
    leaked.map(|(slot, _)| slot.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_slot_is_held_by_its_own_claim_until_the_claim_is_abandoned() {
        let claim = fixtures::claim();
        let (user, started) = (claim.started_by.clone(), claim.started_at);
        let slots = [Slot::of(&claim)];
        let is_leaked = |user: &str, phase: Phase, token: &str, now: u64| {
            let claim = store::recording::Claim { token: token.into(), ..claim.clone() };
            !leaked(user, &slots, &[Some(RoomItem { claim, phase })], now).is_empty()
        };
        let recording = Phase::Recording { egress_id: "EG_1".into(), announced_to: None };
        let starting = Phase::Starting { lease_until: started + 9 };
        assert!(!is_leaked(&user, recording.clone(), "t1", started + 1_000_000));
        assert!(!is_leaked(&user, starting.clone(), "t1", started + CLAIM_SECONDS - 1));
        assert!(is_leaked(&user, starting, "t1", started + CLAIM_SECONDS));
        assert!(is_leaked(&user, recording.clone(), "t2", started), "another recording has the room");
        assert!(is_leaked("user_2", recording, "t1", started), "another user has adopted it");
        assert_eq!(leaked(&user, &slots, &[None], started), slots, "the room is free");
    }
}
