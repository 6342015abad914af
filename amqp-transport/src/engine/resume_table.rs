//! What becomes of each unsettled delivery of a resumed link: the table of AMQP 1.0 §2.6.13, as a function of what both
//! ends say, and places within a message.

use amqp_codec::{Cursor, DecodeLimits, DeliveryState, Received};
use bytes::Bytes;

/// What the receiver's unsettled map says of a delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TheirState<'a> {
    /// Nothing, and the map is whole.
    Absent,
    /// Nothing, which proves nothing: the map is not whole (D-033).
    NotTold,
    /// That it is unsettled, and perhaps how far it has come.
    Held(Option<&'a DeliveryState>),
}

/// What a sender does with a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Nothing is left to say: it ends with this state.
    End(DeliveryState),
    /// It is sent as a new delivery.
    SendAnew,
    /// It is resumed, from a place that the receiver has reached or from its start.
    Resume(Option<Received>),
    /// The receiver is told that it is settled so, and no message is sent.
    Settle(DeliveryState),
    /// The receiver is told to drop it: the part it needs is gone.
    Abort,
    /// Nothing can be concluded before the maps are told whole.
    Wait,
}

/// The sender's action for its own state and the receiver's. Rows without a sender's state are none of
/// its doing.
pub(crate) fn action(ours: Option<&DeliveryState>, theirs: TheirState<'_>) -> Action {
    let held = match theirs {
        TheirState::NotTold => return Action::Wait,
        TheirState::Absent => {
            return match outcome(ours) {
                Some(outcome) => Action::End(outcome.clone()),
                None => Action::SendAnew,
            };
        }
        TheirState::Held(state) => state,
    };
    if let Some(theirs) = outcome(held) {
        // the receiver's word counts.
        return Action::Settle(theirs.clone());
    }
    if let Some(ours) = outcome(ours) {
        return Action::Settle(ours.clone());
    }
    match (place(ours), place(held)) {
        (None, reached) => Action::Resume(reached),
        (Some(kept), Some(reached)) if order(reached) >= order(kept) => Action::Resume(Some(reached)),
        (Some(_), _) => Action::Abort,
    }
}

fn outcome(state: Option<&DeliveryState>) -> Option<&DeliveryState> {
    state.filter(|state| state.is_outcome())
}

fn place(state: Option<&DeliveryState>) -> Option<Received> {
    match state {
        Some(DeliveryState::Received(received)) => Some(*received),
        _ => None,
    }
}

fn order(place: Received) -> (u32, u64) {
    (place.section_number, place.section_offset)
}

/// How much of a message some first octets of it are (D-035): whole sections, and octets of the one after them.
pub(crate) fn place_after(octets: &Bytes) -> Received {
    let limits = DecodeLimits::message();
    let mut cursor = Cursor::new(octets, &limits);
    let (mut section_number, mut start) = (0u32, 0);
    while start < octets.len() && cursor.skip_value().is_ok() {
        section_number = section_number.saturating_add(1);
        start = cursor.offset();
    }
    Received { section_number, section_offset: (octets.len() - start) as u64 }
}

/// How many octets of a message lie before a place; `None` when it has no such place.
pub(crate) fn octets_before(message: &Bytes, place: Received) -> Option<usize> {
    let limits = DecodeLimits::message();
    let mut cursor = Cursor::new(message, &limits);
    for _ in 0..place.section_number {
        if cursor.offset() >= message.len() {
            return None;
        }
        cursor.skip_value().ok()?;
    }
    let before = cursor.offset().checked_add(usize::try_from(place.section_offset).ok()?)?;
    (before <= message.len()).then_some(before)
}

#[cfg(test)]
mod tests {
    use amqp_codec::{Message, Rejected, to_bytes};

    use super::*;

    fn received(section_number: u32, section_offset: u64) -> DeliveryState {
        DeliveryState::Received(Received { section_number, section_offset })
    }

    fn at(section_number: u32, section_offset: u64) -> Option<Received> {
        Some(Received { section_number, section_offset })
    }

    // row by row.
    #[test]
    fn every_row_of_the_resume_table_has_its_action() {
        use TheirState::{Absent, Held, NotTold};
        let (accepted, released) = (DeliveryState::Accepted, DeliveryState::Released);
        let (early, late) = (received(1, 4), received(1, 9));
        let rejected = DeliveryState::Rejected(Rejected { error: None });
        let rows = [
            ("R-03", None, Absent, Action::SendAnew),
            ("R-04", None, Held(None), Action::Resume(None)),
            ("R-05", None, Held(Some(&early)), Action::Resume(at(1, 4))),
            ("R-06", None, Held(Some(&rejected)), Action::Settle(rejected.clone())),
            ("R-07", Some(&early), Absent, Action::SendAnew),
            ("R-08", Some(&early), Held(None), Action::Abort),
            ("R-09", Some(&early), Held(Some(&late)), Action::Resume(at(1, 9))),
            ("R-09", Some(&early), Held(Some(&early)), Action::Resume(at(1, 4))),
            ("R-10", Some(&late), Held(Some(&early)), Action::Abort),
            ("R-11", Some(&early), Held(Some(&accepted)), Action::Settle(accepted.clone())),
            ("R-12", Some(&accepted), Absent, Action::End(accepted.clone())),
            ("R-13", Some(&accepted), Held(None), Action::Settle(accepted.clone())),
            ("R-13", Some(&accepted), Held(Some(&early)), Action::Settle(accepted.clone())),
            ("R-14", Some(&accepted), Held(Some(&accepted)), Action::Settle(accepted.clone())),
            ("R-15", Some(&accepted), Held(Some(&released)), Action::Settle(released.clone())),
            ("R-16", None, NotTold, Action::Wait),
            ("R-16", Some(&early), NotTold, Action::Wait),
            ("R-16", Some(&accepted), NotTold, Action::Wait),
        ];
        for (row, ours, theirs, expected) in rows {
            assert_eq!(action(ours, theirs), expected, "{row}");
        }
    }

    // D-034, D-035
    #[test]
    fn any_cut_of_a_message_is_a_place_that_is_found_again() {
        let message = to_bytes(&Message::data(&b"0123456789"[..]));
        for cut in 0..=message.len() {
            let place = place_after(&message.slice(..cut));
            assert_eq!(octets_before(&message, place), Some(cut), "{place:?}");
        }
        assert_eq!(octets_before(&message, Received { section_number: 9, section_offset: 0 }), None);
        assert_eq!(octets_before(&message, Received { section_number: 0, section_offset: 999 }), None);
    }
}
